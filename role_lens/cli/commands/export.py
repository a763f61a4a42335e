"""`role-lens export` writes a patch to a file that this or another program reads.

    role-lens export --vectors roles.safetensors --role nurse --layer 22 --out nurse.gguf
    role-lens export --vectors roles.safetensors --role nurse --comparison verdict \
        --out nurse.safetensors

The ending of the file says which format it is: .safetensors (this package: any kind of patch, with
what is known of it), .gguf (llama.cpp and repeng), .npz (numpy).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

import role_lens as rl
from role_lens.errors import RoleLensError
from role_lens.reporting.options import PatchOptions
from role_lens.reporting.terminal import say

if TYPE_CHECKING:
    from role_lens.patches import SavedPatches


def run(
    out: Path,
    patching: Annotated[PatchOptions, tyro.conf.arg(name="")],
    comparison: Path | None = None,
    to: str | None = None,
) -> None:
    """Write a patch to a file that this or another program reads.

    Args:
        out: The file.
        comparison: Run folder of `role-lens compare`: the direction that it chose for --role is
            taken, and its verdict goes with it.
        to: Format: safetensors, gguf or npz. Without it, that of the file's ending.
    """
    from role_lens.files import check_writable

    check_writable(out)
    saved = _patch(patching) if comparison is None else _judged(patching, comparison)
    rl.interop.export_patch(saved.patches, out, to, saved.about)
    said = saved.about.get("verdict", {}).get("verdict")
    say(f"{', '.join(map(repr, saved.patches))} -> {out}" + (f"\nVerdict: {said}" if said else ""))


def _patch(patching: PatchOptions) -> "SavedPatches":
    from role_lens.experiments.judged_patch import about_direction
    from role_lens.patches import SavedPatches, read_patches

    named = patching.patches()
    if patching.patch is not None:
        return read_patches(patching.patch)
    several = list(named.values())[1:]  # without the baseline
    if len(several) > 1:
        raise RoleLensError(f"one kind goes into a file, got --kinds {' '.join(patching.kinds)}")
    vectors = rl.RoleVectors.load(patching.given("vectors"))
    return SavedPatches(several[0], about_direction(vectors, patching.spec))


def _judged(patching: PatchOptions, comparison: Path) -> "SavedPatches":
    patching.refuse_but("vectors", "role", why="--comparison has chosen the direction")
    vectors = rl.RoleVectors.load(patching.given("vectors"))
    return rl.experiments.judged_patch(comparison, vectors, patching.given("role"))
