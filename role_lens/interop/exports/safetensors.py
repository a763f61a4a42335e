"""Writes patches of any kind as a file of this package, with what is known of them.

    read_patches("nurse.safetensors").about["verdict"]

Its header says in words what each patch does, so that others can read it too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from role_lens.patches.patch import Combined
from role_lens.patches.patch_file import write_patches


def write(patches: Combined, path: Path, about: Mapping[str, Any]) -> None:
    """Write the patches as they are."""
    write_patches(path, patches, about)
