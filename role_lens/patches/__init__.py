"""Changes of the residual stream: one record per kind, with its change, where it acts, and its first
layer.

    from role_lens.patches import Patch, KINDS

To add a kind is to add a file to `role_lens.patches.kinds`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
