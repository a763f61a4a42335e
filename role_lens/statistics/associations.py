"""Tests whether one property is more frequent where another holds.

    association(improves, tells, strata=domains).p    # both: role x layer

Neighbouring cells, such as layers of one role, need not be independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy import ndarray


@dataclass(frozen=True)
class Association:
    """How much more frequent one property is where another holds, as `association` found it.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import association
        >>> first = np.array([[True, False], [False, True]])
        >>> association(first, first, strata=["verse", "verse"]).share_if
        1.0
    """

    share_if: float
    """Share of cells with the second property, among those with the first; NaN where there is
    none."""
    share_if_not: float
    """The same among cells without the first property."""
    p: float
    """One-sided p value: that `share_if` is the larger by chance."""


def association(
    first: Bool[ndarray, "group cell"],
    second: Bool[ndarray, "group cell"],
    strata: Sequence[str],
    *,
    permutations: int = 10_000,
    seed: int = 0,
) -> Association:
    """Test whether a second property is more frequent where a first one holds.

    Both are known of cells that lie in groups, such as layers in roles. Cells of one group need not
    be independent, as neighbouring layers of one role aren't. So whole groups are shuffled: the
    second property of a group is dealt to another group, and every cell stays at its place in the
    group. Groups of one stratum may be alike for other reasons, as roles are that were asked the
    same questions: groups are shuffled within strata only. The statistic is the number of cells
    that have both properties.

    Args:
        first: which cells have the first property.
        second: which cells have the second property.
        strata: the stratum of each group.
        permutations: number of random shuffles.

    Returns:
        Shares and p value. Where all cells or none have the first property, a share is NaN and p is
        1.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import association
        >>> improves = np.eye(4, dtype=bool)                # each of 4 roles at a layer of its own
        >>> found = association(improves, improves, strata=["verse"] * 4)
        >>> found.share_if, found.share_if_not, round(float(found.p), 2)
        (1.0, 0.0, 0.04)
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
        p=float((reached + 1) / (permutations + 1)),
    )
