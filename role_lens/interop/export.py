"""Writes directions in the file formats of other programs.

export_vectors(vectors, [DirectionSpec("economist", layer=15)], "economist.npz")
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


def export_vectors(
    vectors: RoleVectors,
    specs: Sequence[DirectionSpec],
    path: str | Path,
    format: str | None = None,
) -> None:
    """Write some directions, each times its coefficient, to a file of another program.

    Args:
        specs: which directions.
        path: the file.
        format: one of `role_lens.interop.exports`; None for that of the file's ending.

    Raises:
        RoleLensError: no directions, one that the vectors don't have, an unknown format, a file
            that can't be written.

    Example:
        >>> export_vectors(vectors, [DirectionSpec("poet", layer=1)], folder / "poet.npz")
        >>> import numpy as np
        >>> np.load(folder / "poet.npz").files
        ['1 x poet@1 (base, position -1)']
    """
    if not specs:
        raise RoleLensError("expected at least one direction to export, got none")
    target = as_path(path)
    EXPORTS[format or target.suffix.removeprefix(".")](vectors, specs, target)
