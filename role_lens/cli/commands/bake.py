"""`role-lens bake` writes a model whose plain weights do what a patch does.

    role-lens bake --vectors roles.safetensors --role nurse --layer 22 --out nurse-model
    role-lens bake --patch nurse.safetensors --model path/to/model --out nurse-model

transformers, llama.cpp's converter, vLLM and others load the folder like any other model.
"""

from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.reporting.options import ModelOptions, PatchOptions
from role_lens.reporting.terminal import say


def run(
    out: Path,
    patching: Annotated[PatchOptions, tyro.conf.arg(name="")],
    model: str = ModelOptions.model,
) -> None:
    """Write a model with an addition or an ablation in its weights.

    Args:
        out: A new folder.
        model: The packaged model, a local folder, or a .gguf file.
    """
    saved = patching.saved()
    made = rl.interop.bake(model, saved.patches, out, saved.about)
    say(f"{', '.join(map(repr, saved.patches))} in the weights of {model} -> {made}")
