"""Measures how much of the best candidate's effect is left on questions that didn't choose it.

    best_of_many(changes).held_out    # changes: candidate x question

The largest of many mean changes is large by chance too.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray


@dataclass(frozen=True)
class BestOfMany:
    """What `best_of_many` found: the best candidate's change, where it was chosen and elsewhere.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import best_of_many
        >>> found = best_of_many(np.array([[0.3, 0.2, 0.1, 0.2], [0.0, 0.1, 0.0, -0.1]]))
        >>> round(found.apparent, 2), found.low < found.held_out < found.high
        (0.2, True)
    """

    apparent: float
    """Largest mean change on all questions, which chose the candidate."""
    held_out: float
    """Mean change, on one half of the questions, of the candidate that the other half chose; mean
    over random halves."""
    low: float
    """5th percentile over halves. Halves overlap, so `low` and `high` are no confidence
    interval."""
    high: float
    """95th percentile over halves."""


def best_of_many(
    changes: Float[ndarray, "candidate question"],
    ties: Float[ndarray, "candidate question"] | None = None,
    *,
    halves: int = 1_000,
    seed: int = 0,
) -> BestOfMany:
    """Measure how much of the largest of many mean changes is left on other questions.

    Every random half of the questions chooses the candidate with the largest mean change, and the
    other half tests it. This is repeated split-sample validation of the choice, and unbiased for
    choices by half of the questions.

    Args:
        changes: score with the patch minus that without, in any unit, such as 1, 0 and -1 for
            answers that became right, stayed as they were, or became wrong.
        ties: breaks ties: of candidates with the same mean change the one with the largest mean of
            these is the best, such as changes of the margin; None for a random one.
        halves: number of random halves.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import best_of_many
        >>> chance = np.random.default_rng(0).normal(size=(50, 40))    # 50 candidates, no effect
        >>> found = best_of_many(chance)
        >>> found.apparent > 0.3 > found.held_out
        True
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
