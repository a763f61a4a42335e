"""Writes additions as numpy's own archive: an array for each layer, by its hook point.

    np.load("nurse.npz")["blocks.15.hook_resid_pre"]    # d_model numbers, float32

Each array is what is added to the input of its block, coefficient multiplied in.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from role_lens.files import atomic_write
from role_lens.interop.layer_additions import additions
from role_lens.patches.patch import Combined


def write(patches: Combined, path: Path, about: Mapping[str, Any]) -> None:
    """Write what is added at each layer; there is no place for what is known of it."""
    arrays: dict[str, Any] = {
        f"blocks.{layer}.hook_resid_pre": whole.numpy()
        for layer, whole in additions(patches, "a numpy archive").items()
    }
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
