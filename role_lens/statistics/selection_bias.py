"""Tells what the best of many candidates is worth on questions that didn't choose it.

best_of_many(changes).held_out    # changes: candidate x question
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray


@dataclass(frozen=True)
class BestOfMany:
    """The best candidate on the questions that chose it, and on others."""

    apparent: float
    """Largest mean change on all questions, which chose it."""
    held_out: float
    """Mean change of the best of one random half on the other half, mean over halves."""
    low: float
    high: float
    """5th and 95th percentile over halves. They overlap, so this is no confidence interval."""


def best_of_many(
    changes: Float[ndarray, "candidate question"],
    ties: Float[ndarray, "candidate question"] | None = None,
    *,
    halves: int = 1_000,
    seed: int = 0,
) -> BestOfMany:
    """How much of the largest of many mean changes is left on other questions.

    Every random half of the questions chooses the candidate with the largest mean change, and the
    other half tests it: repeated split-sample validation of the choice, which is unbiased for
    choices by half of the questions.

    Args:
        changes: patched minus unpatched, in any unit, such as 1, 0 and -1 of correct answers.
        ties: of candidates with the same mean change the one with the largest mean of these is the
            best, such as changes of log p(correct); None for a random one.
        halves: random halves.
    """
    n = changes.shape[1]
    rng = np.random.default_rng(seed)
    n_chosen = n // 2
    chooses = np.zeros((halves, n))
    for row in chooses:
        row[rng.permutation(n)[:n_chosen]] = 1
    sums = chooses @ changes.T
    # Of equals a random one: the order of candidates, by layer, is not to decide.
    second = rng.random(sums.shape) if ties is None else chooses @ ties.T
    best = np.where(sums == sums.max(axis=1, keepdims=True), second, -np.inf).argmax(axis=1)
    rest = changes.sum(axis=1)[None] - sums
    left = rest[np.arange(halves), best] / (n - n_chosen)
    return BestOfMany(
        apparent=float(changes.mean(axis=1).max()),
        held_out=float(left.mean()),
        low=float(np.quantile(left, 0.05)),
        high=float(np.quantile(left, 0.95)),
    )
