"""Does a sweep with ten times the candidates take more memory?

    python benchmarks/memory.py --vectors roles.safetensors

Each sweep is a process of its own. Its peak counts from when the model is loaded, which would hide
the rest (on Linux: the high-water mark is set back).
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from role_lens import Grid, RoleVectors, load_model, load_questions, sweep


@dataclass(frozen=True)
class Config:
    """What is run."""

    vectors: Path
    """A file written by `role-lens fit`."""
    first_layer: int = 26
    """The sweep goes from this layer to the last."""
    domain: str = "econ"
    """Domain of the built-in questions."""
    coefficients: int | None = None
    """Run one sweep of so many coefficients and print its peak; default: of one and of ten."""


def main(config: Config) -> None:
    """Run one sweep, or compare two."""
    if config.coefficients is not None:
        print(run(config, config.coefficients))
        return
    peaks = []
    for n in (1, 10):
        command = [sys.executable, *sys.argv, "--coefficients", str(n)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True).stdout))
        print(f"coefficients: {n}, peak memory {peaks[-1] / 1e6:.3f} GB", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


def run(config: Config, n: int) -> int:
    """Peak memory of a sweep with n coefficients, in kilobytes."""
    model, vectors = load_model("smollm2-135m-instruct"), RoleVectors.load(config.vectors)
    questions = load_questions("builtin", domain=config.domain)
    grid = Grid(
        roles=("economist",),
        layers=tuple(range(config.first_layer, model.cfg.n_layers)),
        coefficients=tuple(0.2 * (1 + i) for i in range(n)),
    )
    Path("/proc/self/clear_refs").write_text("5")
    with tempfile.TemporaryDirectory() as folder:
        sweep(model, vectors, questions, folder, grid, progress=False)
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
