"""How often are roles said to do more or less than random, when they don't, and when they do?

    python benchmarks/calibration.py --out calibration.json

Families of simulated roles are judged by the package's own procedure. In their worlds every
condition has a temperature, a preference among letters and noise of its own, none of which is
knowledge; in some a small effect on knowledge is planted. Two hours; it uses one core.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import tyro

from role_lens.experiments import World, declared


@dataclass(frozen=True)
class Config:
    """Settings of the calibration."""

    families: int = 1000
    """Simulated families of each world."""
    sizes: tuple[int, ...] = (20, 60, 200)
    """Numbers of questions that choose, and as many that test."""
    effects: tuple[float, ...] = (0.02, 0.05, 0.1)
    """Effects that are planted, on a spread of 0.5, with 60 questions."""
    seed: int = 0
    """Of all draws."""
    out: Path = Path("calibration.json")
    """File for the figures."""


def worlds(config: Config) -> dict[str, World]:
    """What is simulated, by name."""
    found = {f"no effect, n = {n}": World(n_validation=n, n_test=n) for n in config.sizes}
    mixed = World(n_options=None)
    found |= {
        f"no effect, 2 to 10 options, n = {n}": replace(mixed, n_validation=n, n_test=n)
        for n in config.sizes
    }
    found["no effect, the model knows (0.25)"] = World(knowledge=0.25)
    found |= {f"effect {effect}, n = 60": World(effect=effect) for effect in config.effects}
    return found


def main(config: Config) -> None:
    """Simulate, print and write."""
    rows = []
    for name, world in worlds(config).items():
        found = declared(world, config.families, seed=config.seed)
        rows.append({"world": name, **asdict(found)})
        shown = {k: v for k, v in rows[-1].items() if isinstance(v, float)}
        print(f"{name}: " + ", ".join(f"{k} {v:.3f}" for k, v in shown.items()), flush=True)
        config.out.write_text(json.dumps({"config": asdict(config), "rows": rows}, default=str))


if __name__ == "__main__":
    main(tyro.cli(Config))
