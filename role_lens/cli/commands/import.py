"""`role-lens import` makes a file of role vectors of directions that another program wrote.

    role-lens import happy.gguf --out happy.safetensors
    role-lens import sae-folder --rows 1234 77 --out latents.safetensors

All other commands read this file, with `--contrast imported`.
"""

from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.interop import ImportOptions
from role_lens.reporting.options import Common
from role_lens.reporting.terminal import say


def run(
    path: Annotated[Path, tyro.conf.Positional],
    out: Path,
    how: Annotated[ImportOptions, tyro.conf.arg(name="")],
    options: Common,
    format: str | None = None,
) -> None:
    """Read directions that another program wrote, and write them as role vectors.

    Args:
        path: A GGUF control vector, a .pt of steering-vectors or of the assistant axis, .npz,
            .safetensors, or a folder of SAELens.
        out: The .safetensors file to write.
        how: Names, layers, and rows of an SAE.
        format: What kind of file it is. Without it, that of its ending.
    """
    from role_lens.files import check_writable

    check_writable(out)
    vectors = rl.interop.import_vectors(options.load(), path, how, format)
    vectors.save(out)
    found = vectors.directions("imported")
    layers = [n for n in range(vectors.n_layers) if found[:, 0, n].isfinite().any()]
    say(f"{', '.join(vectors.roles)} at layer{'s' * (len(layers) > 1)} {_ranges(layers)} -> {out}")
    say("Contrast: imported.")


def _ranges(numbers: list[int]) -> str:
    """Numbers with runs of them shortened: 1-3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)
