"""Writes directions in the file formats of other programs.

    export_vectors(vectors, [DirectionSpec("economist", layer=15)], "economist.npz")

The formats are the files in `role_lens.interop.exports`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from role_lens._registry import Registry
from role_lens.direction_spec import DirectionSpec
from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.vectors import RoleVectors

Writer: TypeAlias = Callable[[RoleVectors, Sequence[DirectionSpec], Path], None]

EXPORTS: Registry[Writer] = Registry("role_lens.interop.exports", "write", "export format")
"""The file formats, by name; `EXPORTS.names` lists them."""


def export_vectors(
    vectors: RoleVectors,
    specs: Sequence[DirectionSpec],
    path: str | Path,
    format: str | None = None,
) -> None:
    """Write some directions, each times its coefficient, to a file that other programs read.

    Args:
        vectors: fitted ones.
        specs: which directions, and their coefficients.
        path: the file.
        format: a name in `EXPORTS`; None for that of the file's ending.

    Raises:
        RoleLensError: no directions, one that the vectors don't have, a zero direction, a
            coefficient that is None, an unknown format, a file that can't be written.

    Examples:
        >>> from role_lens.interop import export_vectors
        >>> export_vectors(vectors, [DirectionSpec("poet", layer=1)], folder / "poet.npz")
        >>> import numpy as np
        >>> np.load(folder / "poet.npz").files
        ['1 x poet@1 (base, position -1)']
    """
    if not specs:
        raise RoleLensError("expected at least one direction to export, got none")
    target = as_path(path)
    EXPORTS[format or target.suffix.removeprefix(".")](vectors, specs, target)
