from .gate import Gate, acting
from .hooks import attached
from .kind import KINDS, PatchKind
from .patch import Patch, Patches
from .patch_file import SavedPatches, read_patches, write_patches
from .stream import lengths, projection, shifted
from .token_masks import TokenMask, TokenWindow

__all__ = [
    "KINDS",
    "Gate",
    "Patch",
    "PatchKind",
    "Patches",
    "SavedPatches",
    "TokenMask",
    "TokenWindow",
    "acting",
    "attached",
    "lengths",
    "projection",
    "read_patches",
    "shifted",
    "write_patches",
]
