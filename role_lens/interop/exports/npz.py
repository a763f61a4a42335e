"""Writes directions as numpy's own archive: an array for each direction, by its address.

    np.load("roles.npz")["1 x economist@15 (base, position -1)"]    # d_model numbers, float32

Each array is the raw direction times its coefficient, in the residual stream's units.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from role_lens.direction_spec import DirectionSpec
from role_lens.files import atomic_write
from role_lens.vectors import RoleVectors


def write(vectors: RoleVectors, specs: Sequence[DirectionSpec], path: Path) -> None:
    """Write coefficient times each raw direction, under the direction's address."""
    arrays: dict[str, Any] = {}
    for spec in specs:
        patch = vectors.patch("add", spec)
        arrays[str(spec)] = (patch.value * patch.direction).numpy()
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
