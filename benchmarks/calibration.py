"""How often is a role vector declared to help, when it doesn't, and when it does?

    python benchmarks/calibration.py --sweep FOLDER

Simulated roles are judged by the package's own procedure: the best of their candidates on
validation questions, tested on test questions, adjusted for the roles that are tested together.
Beside it the usual one: the best on the test questions, unadjusted. Changes are drawn from a
heavy-tailed distribution, and from the measured changes of a sweep (a folder that `role-lens sweep`
wrote), less their means. Without --sweep only the former. Five minutes on two cores.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro

from role_lens.experiments import (
    declared_improved,
    drawn_changes,
    read_changes,
    resampled_changes,
)
from role_lens.experiments.calibration import Draw
from role_lens.questions import MIN_QUESTIONS


@dataclass(frozen=True)
class Config:
    """Settings of the calibration."""

    sweep: Path | None = None
    """Folder of a sweep whose changes are drawn from too."""
    n_roles: int = 2000
    """Simulated roles of each kind."""
    n_candidates: int = 50
    """Directions that each role is chosen from."""
    n_validation: int = 100
    """Questions on which directions are chosen."""
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
    rows = []
    measured = None if config.sweep is None else measured_changes(config)

    def add(effect: float, sizes: tuple[int, int], n_roles: int, family: int = 1) -> None:
        n = config.n_candidates if family == 1 else 20
        draws: dict[str, Draw] = {"drawn": drawn_changes(n, *sizes, effect=effect)}
        if measured is not None:
            draws["measured"] = resampled_changes(measured[:n], *sizes, effect=effect)
        for source, draw in draws.items():
            found = declared_improved(draw, n_roles, family=family, seed=config.seed)
            what = {"source": source, "effect": effect, "family": family, "n_test": sizes[1]}
            rows.append({**what, **asdict(found)})
            shown = {k: v for k, v in rows[-1].items() if not isinstance(v, tuple)}
            print(", ".join(f"{k} {v:.4g}" if k != "source" else str(v) for k, v in shown.items()))
            text = json.dumps({"config": asdict(config), "rows": rows}, indent=1, default=str)
            config.out.write_text(text + "\n")

    sizes = (config.n_validation, config.n_test)
    add(0.0, sizes, config.n_roles)
    add(0.0, (MIN_QUESTIONS, MIN_QUESTIONS), config.n_roles)
    for effect in (0.1, 0.2, 0.3):
        add(effect, sizes, config.n_roles // 4)
    add(0.0, sizes, 100 * config.family, config.family)


def measured_changes(config: Config) -> np.ndarray:
    """Changes of log p(correct) of some of a sweep's candidates, by candidate and question."""
    assert config.sweep is not None
    _, changes = read_changes(config.sweep)
    chosen = np.random.default_rng(config.seed).permutation(len(changes))[: config.n_candidates]
    return changes[chosen]


if __name__ == "__main__":
    main(tyro.cli(Config))
