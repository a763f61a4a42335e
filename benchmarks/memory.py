"""Does a sweep with ten times the candidates take more memory?

    python benchmarks/memory.py --vectors roles.safetensors

Each sweep is a process of its own, and its peak memory is what the operating system says of it.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Config:
    """What is run."""

    vectors: Path
    """A file written by `role-lens fit`."""
    layers: tuple[int, ...] = (26, 27, 28, 29)
    """Layers of the sweep."""
    domain: str = "econ"
    """Domain of the built-in questions."""


def main(config: Config) -> None:
    """Run both and compare."""
    one = peak(config, [1.0])
    ten = peak(config, [0.2 * (1 + i) for i in range(10)])
    print(f"peak memory {one / 1e6:.3f} GB, with ten times the candidates {ten / 1e6:.3f} GB")
    print(f"ratio {ten / one:.3f}")


def peak(config: Config, coefficients: list[float]) -> int:
    """Kilobytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "role_lens.cli", "sweep", "--out", folder]
        command += ["--vectors", str(config.vectors), "--domain", config.domain]
        command += ["--layers", *map(str, config.layers), "--roles", "economist"]
        command += ["--coefficients", *map(str, coefficients)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            sys.exit("the sweep failed")
        return usage.ru_maxrss


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
