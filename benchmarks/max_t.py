"""Time and memory of the family-wise sign-flip test at the size of a whole sweep.

python benchmarks/max_t.py
"""

import resource
import time
from dataclasses import dataclass

import numpy as np
import tyro

from role_lens.statistics.paired import sign_flip_test


@dataclass(frozen=True)
class Config:
    """Settings of the benchmark of the step-down test."""

    candidates: int = 5_000
    """Directions that were tried."""
    questions: int = 500
    """Questions that each was tried on."""
    permutations: int = 10_000
    """Patterns of signs."""


def main(config: Config) -> None:
    """Test changes of which one candidate's are not chance."""
    rng = np.random.default_rng(0)
    common = rng.standard_t(3, size=config.questions)
    changes = common + rng.standard_t(3, size=(config.candidates, config.questions))
    changes[0] += 1.0
    before = _peak()
    start = time.perf_counter()
    test = sign_flip_test(changes, alternative="greater", permutations=config.permutations)
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} s, {_peak():.2f} GB at most ({before:.2f} GB before)")
    print(f"adjusted p of the one with an effect: {test.p_adjusted[0]:.4f}")
    print(
        f"others below 0.05: {int((test.p_adjusted[1:] <= 0.05).sum())}, without adjustment: "
        f"{int((test.p[1:] <= 0.05).sum())}"
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main(tyro.cli(Config))
