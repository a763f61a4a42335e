from .hooks import attached
from .kind import KINDS, PatchKind
from .patch import Patch, Patches
from .patch_file import SavedPatches, read_patches, write_patches
from .stream import projection, shifted
from .token_masks import TokenMask, TokenWindow

__all__ = [
    "KINDS",
    "Patch",
    "PatchKind",
    "Patches",
    "SavedPatches",
    "TokenMask",
    "TokenWindow",
    "attached",
    "projection",
    "read_patches",
    "shifted",
    "write_patches",
]
