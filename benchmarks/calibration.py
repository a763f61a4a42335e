"""How often is a role vector declared to help, when it doesn't, and when it does?

    python benchmarks/calibration.py --sweep FOLDER

Simulated roles are judged by the package's own procedure: the best of their candidates on
validation questions, tested on test questions, adjusted for the roles that are tested together.
Beside it the usual one: the best on the test questions, unadjusted. Changes are drawn from a
heavy-tailed distribution, and from the measured changes of a sweep (a folder that `role-lens sweep`
wrote), less their means.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro

from role_lens import read_sweep
from role_lens.evaluation.calibration import (
    Draw,
    declared_improved,
    drawn_changes,
    resampled_changes,
)


@dataclass(frozen=True)
class Config:
    """What is simulated."""

    sweep: Path | None = None
    """Folder of a sweep whose changes are drawn from too."""
    n_roles: int = 2000
    """Simulated roles of each kind."""
    n_candidates: int = 200
    """Directions that each role is chosen from."""
    n_validation: int = 100
    """Questions that choose."""
    n_test: int = 200
    """Questions that test."""
    family: int = 29
    """Roles that are tested together, in the second half of the table."""
    seed: int = 0
    """Of all draws."""
    out: Path = Path("calibration.json")
    """File for the figures."""


def main(config: Config) -> None:
    """Simulate, print and write."""
    sizes = (config.n_validation, config.n_test)
    rows = []

    def add(source: str, effect: float, draw: Draw, n_roles: int, family: int = 1) -> None:
        found = declared_improved(draw, n_roles, family=family, seed=config.seed)
        rows.append({"source": source, "effect": effect, "family": family, **asdict(found)})
        shown = {k: v for k, v in rows[-1].items() if not isinstance(v, tuple)}
        print(", ".join(f"{k} {v:.4g}" if k != "source" else str(v) for k, v in shown.items()))

    measured = None if config.sweep is None else measured_changes(config)
    for effect in (0.0, 0.1, 0.2, 0.3):
        n_roles = config.n_roles if effect == 0 else config.n_roles // 4
        add("drawn", effect, drawn_changes(config.n_candidates, *sizes, effect=effect), n_roles)
        if measured is not None:
            add("measured", effect, resampled_changes(measured, *sizes, effect=effect), n_roles)
    n_families = 200 * config.family
    add("drawn", 0.0, drawn_changes(20, *sizes), n_families, config.family)
    if measured is not None:
        add("measured", 0.0, resampled_changes(measured[:20], *sizes), n_families, config.family)
    config.out.write_text(
        json.dumps({"config": asdict(config), "rows": rows}, indent=1, default=str)
    )


def measured_changes(config: Config) -> np.ndarray:
    """Changes of log p(correct) of some of a sweep's candidates, by candidate and question."""
    assert config.sweep is not None
    table = read_sweep(config.sweep)
    n_questions = int((table["kind"] == "none").sum())  # the baseline, which comes first
    scores = table["logprob_correct"].to_numpy().reshape(-1, n_questions)
    changes = scores[1:] - scores[0]
    chosen = np.random.default_rng(config.seed).permutation(len(changes))[: config.n_candidates]
    return changes[chosen]


if __name__ == "__main__":
    main(tyro.cli(Config))
