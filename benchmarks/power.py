"""How often does a score show a small effect on knowledge: log p(correct), or the margin?

    python benchmarks/power.py --out power.json

A model at chance answers simulated questions of four options, with a preference among letters and
answers that are skewed over them. Then its right options are raised a little, with noise on all
options, and nothing else changes. The share of samples in which a one-sided sign-flip test declares
more is printed; without an effect it is to be 5 %. Minutes.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro
from scipy.special import log_softmax

from role_lens.scoring import margins
from role_lens.statistics import sign_flip_test


@dataclass(frozen=True)
class Config:
    """Settings of the simulation."""

    samples: int = 1000
    """Simulated samples of questions for each effect."""
    n: int = 60
    """Questions of a sample."""
    effects: tuple[float, ...] = (0.0, 0.02, 0.05)
    """By how much right options are raised, in nats."""
    spread: float = 0.5
    """Standard deviation of the options' scores."""
    noise: float = 0.1
    """Standard deviation of the noise on each option."""
    seed: int = 0
    """Of all draws."""
    out: Path = Path("power.json")
    """File for the figures."""


FREQUENCIES = (0.2, 0.25, 0.22, 0.33)
"""Of the right option's letter."""
PREFERENCE = 0.6
"""Largest preference of the model for a letter, in nats."""


def changes(config: Config, effect: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What one sample's questions change by, in each score."""
    answers = rng.choice(4, size=config.n, p=FREQUENCIES)
    preference = rng.uniform(-PREFERENCE, PREFERENCE, size=4)
    before = config.spread * rng.normal(size=(config.n, 4)) + preference
    after = before + config.noise * rng.normal(size=before.shape)
    after[np.arange(config.n), answers] += effect

    def of_right(scores: np.ndarray) -> np.ndarray:
        return log_softmax(scores, axis=1)[np.arange(config.n), answers]

    return {
        "log p(correct)": of_right(after) - of_right(before),
        "margin": margins(after, answers) - margins(before, answers),
    }


def main(config: Config) -> None:
    """Simulate, print and write."""
    rows = []
    for effect in config.effects:
        rng = np.random.default_rng(config.seed)
        found: dict[str, list[bool]] = {}
        for sample in range(config.samples):
            for score, change in changes(config, effect, rng).items():
                options = {"alternative": "greater", "permutations": 1000, "seed": sample}
                p = sign_flip_test(change[None], **options).p[0]
                found.setdefault(score, []).append(bool(p <= 0.05))
        rows.append({"effect": effect, **{score: np.mean(some) for score, some in found.items()}})
        print(", ".join(f"{name} {value:.3f}" for name, value in rows[-1].items()), flush=True)
    config.out.write_text(json.dumps({"config": asdict(config), "rows": rows}, default=str))


if __name__ == "__main__":
    main(tyro.cli(Config))
