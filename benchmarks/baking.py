"""How long does baking take, and how much memory?

    python benchmarks/baking.py
    python benchmarks/baking.py --model qwen.gguf

An addition and an ablation, each in a process of its own, of a random direction. A GGUF file is
converted before, once, which isn't counted.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from role_lens import Patch, load_model
from role_lens.interop import bake


@dataclass(frozen=True)
class Config:
    """Settings of the benchmark of baking."""

    model: str = "smollm2-135m-instruct"
    """The packaged model, a folder, or a GGUF file."""
    width: int | None = None
    """Of the residual stream; found by loading the model."""
    only: Literal["add", "ablate"] | None = None
    """Bake only this, and print seconds and kilobytes."""


def main(config: Config) -> None:
    """Bake one, or each in a process of its own."""
    if config.only is not None:
        print(json.dumps(baked(config)))
        return
    width = str(config.width or load_model(config.model).cfg.d_model)
    for kind in ("add", "ablate"):
        command = [sys.executable, *sys.argv, "--width", width, "--only", kind]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, kilobytes, size = json.loads(done.stdout.splitlines()[-1])
        print(f"{kind}: {seconds:.0f} s, peak {kilobytes / 1e6:.1f} GB, for {size / 1e9:.2f} GB")


def baked(config: Config) -> tuple[float, int, int]:
    """Seconds, peak memory in kilobytes, and bytes written."""
    direction = torch.randn(config.width or 0, generator=torch.Generator().manual_seed(0))
    patch = Patch.add(direction, layer=2) if config.only == "add" else Patch.ablate(direction)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        made = bake(config.model, patch, Path(folder) / "baked")
        seconds = time.perf_counter() - began
        size = sum(file.stat().st_size for file in made.iterdir())
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return seconds, peak, size


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
