"""Does a sweep with ten times the candidates take more memory? And how much takes attribution?

    python benchmarks/memory.py --vectors roles.safetensors

Each is a process of its own. A sweep's peak counts from when the model is loaded, which would hide
the rest (on Linux: the high-water mark is set back); attribution's is of the whole process.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from role_lens import Compute, Grid, RoleVectors, attribute, load_model, load_questions, sweep

QUIET = Compute(progress=False)
RUNS = ("one", "ten", "attribution")


@dataclass(frozen=True)
class Config:
    """Settings of the memory benchmark."""

    vectors: Path
    """A file written by `role-lens fit`."""
    first_layer: int = 28
    """The sweeps go from this layer to the last."""
    domain: str = "econ"
    """Domain of the built-in questions."""
    only: Literal["one", "ten", "attribution"] | None = None
    """Run only the sweep of so many coefficients, or attribution of all directions, and print its
    peak in kilobytes."""


def main(config: Config) -> None:
    """Run one of them, or all and compare."""
    if config.only is not None:
        print(peak(config))
        return
    peaks = {}
    for name in RUNS:
        command = [sys.executable, *sys.argv, "--only", name]
        peaks[name] = int(subprocess.run(command, check=True, capture_output=True).stdout) / 1e6
    print(f"sweep: {peaks['one']:.3f} GB; with ten times the candidates: {peaks['ten']:.3f} GB")
    print(f"ratio {peaks['ten'] / peaks['one']:.3f}; attribution: {peaks['attribution']:.3f} GB")


def peak(config: Config) -> int:
    """Peak memory of one of the runs, in kilobytes."""
    model, vectors = load_model("smollm2-135m-instruct"), RoleVectors.load(config.vectors)
    questions = load_questions("builtin", domain=config.domain)
    if config.only == "attribution":
        attribute(model, vectors, questions, compute=QUIET)
    else:
        n = 1 if config.only == "one" else 10
        grid = Grid(
            roles=vectors.roles[:9],  # enough to fill what is computed at once
            layers=tuple(range(config.first_layer, model.cfg.n_layers)),
            coefficients=tuple(0.2 * (1 + i) for i in range(n)),
        )
        Path("/proc/self/clear_refs").write_text("5")
        with tempfile.TemporaryDirectory() as folder:
            sweep(model, vectors, questions, folder, grid, compute=QUIET)
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
