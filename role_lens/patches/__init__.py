"""Changes the residual stream: adds a direction, ablates it, or sets the projection on it.

    from role_lens.patches import KINDS, Patch

    KINDS.names              # ("ablate", "add", "add_normed", "cap", "clamp", "floor", "rotate")
    with Patch.add(direction, layer=15).on(model): ...

To add a kind of patch is to add a file to `role_lens.patches.kinds`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
