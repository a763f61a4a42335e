"""Figures, reports, and what analysis scripts share.

from role_lens.reporting import Report, plot_comparison
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
