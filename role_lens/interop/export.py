"""Writes patches in the file formats of other programs.

    export_patch(vectors.add("nurse", layer=15), "nurse.gguf")

The formats are the files in `role_lens.interop.exports`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from role_lens._registry import Registry
from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.patches.patch import Combined, Patches, combined
from role_lens.patches.patch_file import about_of

Writer: TypeAlias = Callable[[Combined, Path, Mapping[str, Any]], None]

EXPORTS: Registry[Writer] = Registry("role_lens.interop.exports", "write", "export format")
"""The file formats, by name; `EXPORTS.names` lists them."""


def export_patch(
    patches: Patches,
    path: str | Path,
    format: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a patch, or several that act together, to a file that other programs read.

    Args:
        patches: one or more.
        path: the file.
        format: a name in `EXPORTS`; None for that of the file's ending.
        about: what else is known of the patch, as JSON values; formats that have a place for it
            hold it.

    Raises:
        RoleLensError: no patch, one that the format can't express (the message names what can), an
            unknown format, a file that can't be written.

    Examples:
        >>> from role_lens.interop import export_patch
        >>> export_patch(vectors.add("poet", layer=2), folder / "poet.gguf")
        >>> import numpy as np
        >>> export_patch(vectors.add("poet", layer=2), folder / "poet.npz")
        >>> np.load(folder / "poet.npz").files
        ['blocks.2.hook_resid_pre']
    """
    several = combined(patches)
    if not several:
        raise RoleLensError("expected at least one patch to export, got none")
    target = as_path(path)
    name = format or target.suffix.removeprefix(".").lower()
    if not name:
        raise RoleLensError(
            f"{target} has no ending that names a format: give it one of "
            f"{', '.join(EXPORTS.names)}, or name the format"
        )
    EXPORTS[name](several, target, about_of(about))
