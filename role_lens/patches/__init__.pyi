from .hooks import attached
from .kind import KINDS, PatchKind
from .patch import Patch, Patches
from .stream import projection, shifted
from .token_masks import TokenMask, TokenWindow

__all__ = [
    "KINDS",
    "Patch",
    "PatchKind",
    "Patches",
    "TokenMask",
    "TokenWindow",
    "attached",
    "projection",
    "shifted",
]
