"""Tests whether one property is more frequent where another holds, when neighbours are not
independent.

    association(improves, tells, strata=domains).p
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy import ndarray


@dataclass(frozen=True)
class Association:
    """Result of `association`."""

    share_if: float
    """Share of the second among those that have the first."""
    share_if_not: float
    p: float
    """One-sided, that `share_if` is the larger."""


def association(
    first: Bool[ndarray, "group cell"],
    second: Bool[ndarray, "group cell"],
    strata: Sequence[str],
    *,
    permutations: int = 10_000,
    seed: int = 0,
) -> Association:
    """Is the second more frequent where the first holds?

    Cells of one group need not be independent, as neighbouring layers of one role aren't: whole
    groups of the second are dealt out anew to those of the first, and every cell stays where it is
    in its group. Groups of one stratum may be alike for other reasons, as roles that are asked the
    same questions are: they are dealt out among themselves only. The statistic is the number of
    cells that have both. Where all cells or none have the first, a share is NaN and p is 1.

    Args:
        strata: of each group.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    shared = np.einsum("gc,hc->gh", a, b)  # cells in common, had h been dealt to g
    rng = np.random.default_rng(seed)
    among = [np.flatnonzero(np.asarray(strata) == one) for one in dict.fromkeys(strata)]
    rows = np.concatenate(among)
    observed = np.trace(shared)
    reached = sum(
        shared[rows, np.concatenate([rng.permutation(some) for some in among])].sum() >= observed
        for _ in range(permutations)
    )
    return Association(
        share_if=float(second[first].mean()) if first.any() else float("nan"),
        share_if_not=float(second[~first].mean()) if not first.all() else float("nan"),
        p=(reached + 1) / (permutations + 1),
    )
