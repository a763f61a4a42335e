"""Draws figures, writes reports, and holds what analysis scripts share.

    from role_lens.reporting import Report, plot_comparison

A script of `analyses` is a dataclass of settings, a function that computes tables (`Results`) and
one that draws them; `main` makes a command of these.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
