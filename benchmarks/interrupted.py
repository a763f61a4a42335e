"""Is a sweep that was killed again and again the same as an undisturbed one?

    python benchmarks/interrupted.py --vectors roles.safetensors

Runs `role-lens sweep` as a process of its own, ends it with SIGKILL at random moments and starts it
again; then compares the tables, which must be equal to the last bit.
"""

import random
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from role_lens import read_sweep


@dataclass(frozen=True)
class Config:
    """Settings of the interrupted runs."""

    vectors: Path
    """A file written by `role-lens fit`."""
    kills: int = 20
    """How often it is killed."""
    longest: float = 30.0
    """Seconds until a kill, at most."""
    layers: tuple[int, ...] = tuple(range(1, 30))
    """Layers of the sweep."""
    seed: int = 0
    """Of the moments."""
    out: Path = Path("role-lens-interrupted")
    """A new folder for both sweeps."""


def main(config: Config) -> None:
    """Run both and compare."""
    if config.out.exists():
        sys.exit(f"{config.out} exists: choose a new folder")
    rng = random.Random(config.seed)
    disturbed, undisturbed = config.out / "disturbed", config.out / "undisturbed"
    kills = 0
    while kills < config.kills:
        process = start(config, disturbed)
        wait = rng.uniform(0, config.longest)
        try:
            if process.wait(wait) != 0:
                sys.exit("the sweep failed")
            sys.exit(f"the sweep was finished after {kills} kills: give it more layers")
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kills += 1
        finished = len(list((disturbed / "parts").glob("part-*")))
        print(f"kill {kills} after {wait:.1f} s: {finished} parts", flush=True)
    for folder in (disturbed, undisturbed):
        began = time.perf_counter()
        if start(config, folder).wait() != 0:
            sys.exit(f"the sweep in {folder} failed")
        print(f"{folder}: {time.perf_counter() - began:.0f} s")
    effects = [pd.read_parquet(folder / "effects.parquet") for folder in (disturbed, undisturbed)]
    scores = [read_sweep(folder) for folder in (disturbed, undisturbed)]
    keys = [
        pd.concat([pd.read_parquet(part)["cell"] for part in (folder / "parts").glob("part-*")])
        for folder in (disturbed, undisturbed)
    ]
    once = len(keys[0]) == len(keys[1]) and set(keys[0]) == set(keys[1])
    same = once and effects[0].equals(effects[1]) and scores[0].equals(scores[1])
    print(f"{len(effects[0])} cells, {len(scores[0])} rows; tables equal: {same}")
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"largest memory of a run: {largest / 1e6:.2f} GB")
    sys.exit(0 if same else 1)


def start(config: Config, out: Path) -> subprocess.Popen[bytes]:
    """The sweep as a process."""
    command = [sys.executable, "-m", "role_lens.cli", "sweep", "--vectors", str(config.vectors)]
    command += ["--out", str(out), "--domain", "econ", "--roles", "economist", "nurse"]
    command += ["--contrasts", "base", "roles", "--positions", "-1"]
    command += ["--layers", *map(str, config.layers)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
