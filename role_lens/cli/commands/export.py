"""`role-lens export` writes a patch to a file that this or another program reads.

    role-lens export --vectors roles.safetensors --role nurse --layer 22 --out nurse.gguf
    role-lens export --vectors roles.safetensors --role nurse --comparison verdict \
        --out nurse.safetensors

The ending of the file says which format it is: .safetensors (this package: any kind of patch, with
what is known of it), .gguf (llama.cpp and repeng), .pt (lm-eval's `steered`), .json (vLLM with
vllm-lens), .npz (numpy).
"""

from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.reporting.options import PatchOptions
from role_lens.reporting.terminal import say


def run(
    out: Path,
    patching: Annotated[PatchOptions, tyro.conf.arg(name="")],
    to: str | None = None,
    model: str | None = None,
) -> None:
    """Write a patch to a file that this or another program reads.

    Args:
        out: The file.
        to: Format: safetensors, gguf, json, npz or pt. Without it, that of the file's ending.
        model: For pt, whose file names modules: the packaged model, a local folder, or a .gguf
            file. Without it, the model that the vectors are of.
    """
    from role_lens.files import check_writable

    check_writable(out)
    saved = patching.saved()
    about = saved.about if model is None else {**saved.about, "model": model}
    rl.interop.export_patch(saved.patches, out, to, about)
    say(f"{', '.join(map(repr, saved.patches))} -> {out}")
    verdicts = saved.about.get("verdicts", [saved.about.get("verdict")])
    for one in verdicts if isinstance(verdicts, list) else []:
        if isinstance(one, dict) and (said := one.get("verdict")):
            say(f"Verdict, which is in the file where its format has a place for it: {said}")
