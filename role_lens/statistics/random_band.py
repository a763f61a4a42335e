"""Tests whether directions do more than random ones that were chosen and tested alike.

    found = against_random(effects, random)     # role; role x rotation
    found.p_more_adjusted, found.pooled.p_more

Roles share their rotations and their questions, so that rotations are compared as a whole.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from role_lens.errors import RoleLensError

_TIE = 1e-9
_FEWEST = 19  # rotations by whose ranks a p value of 5 % can be reached


@dataclass(frozen=True)
class PooledExcess:
    """How much more the mean role does than the mean random direction.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import against_random
        >>> random = np.random.default_rng(0).normal(size=(8, 20))
        >>> found = against_random(np.full(8, 3.0), random).pooled
        >>> found.low < found.excess < found.high, round(found.p_more, 3)
        (True, 0.048)
    """

    excess: float
    """Mean effect over roles, minus its mean over rotations."""
    low: float
    """Lower end of the interval of the excess."""
    high: float
    """Upper end."""
    p_more: float
    """(1 + rotations whose mean over roles is as high) / (1 + rotations)."""
    p_less: float
    """The same for as low ones."""


_NOTHING_POOLED = PooledExcess(*[float("nan")] * 5)


@dataclass(frozen=True, eq=False)
class AgainstRandom:
    """What `against_random` found, for each role and for all of them together.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import against_random
        >>> random = np.random.default_rng(0).normal(size=(2, 20))
        >>> against_random(np.array([9.0, 0.0]), random).p_more_adjusted.round(3).tolist()[0]
        0.048
    """

    excess: Float[ndarray, " role"]
    """Effect minus the mean effect of the role's random directions."""
    low: Float[ndarray, " role"]
    """Lower end of the interval of the excess: how far another random direction would lie."""
    high: Float[ndarray, " role"]
    """Upper end."""
    detectable: Float[ndarray, " role"]
    """The smallest excess that a test of the role alone, at 5 %, would have found with a power of
    80 %."""
    p_more_alone: Float[ndarray, " role"]
    """p value of each role alone: Student's t with the spread of its random directions."""
    p_less_alone: Float[ndarray, " role"]
    """The same for less than random."""
    p_more_adjusted: Float[ndarray, " role"]
    """p values adjusted for all roles. Where roles share rotations, by ranks: (1 + rotations under
    which any role would lie as far above the others) / (1 + rotations), stepped down, over the
    rotations that gave every role a direction, if these are at least 19. Else Holm's (1979) of
    those of each role alone."""
    p_less_adjusted: Float[ndarray, " role"]
    """The same for less than random."""
    pooled: PooledExcess


def against_random(
    effects: Float[ndarray, " role"],
    random: Float[ndarray, "role rotation"],
    *,
    shared: bool = False,
    level: float = 0.9,
) -> AgainstRandom:
    """Compare the effect of each role's direction with those of its random directions.

    If a role's direction were one more random one, it and its rotations would be exchangeable. So
    its excess has the variance s²(1 + 1/R), with s the standard deviation of R random effects; this
    holds the noise of the questions too, since all are asked the same. For the family of roles each
    rotation is taken for the roles' own directions in turn: it gives one draw of how far the
    farthest of them lies by chance, whatever their correlation (Westfall and Young 1993).

    Args:
        effects: of each role's direction, in any unit.
        random: of its random directions, by rotation; NaN where a rotation gave none.
        shared: all roles have the very same random directions, and not one each of every rotation.
            Then a random direction can't stand for all roles, p values are adjusted by Holm's
            method, and all roles together are not compared (`pooled` is NaN).
        level: confidence level of the intervals; the default goes with two one-sided tests at 5 %.

    Raises:
        RoleLensError: fewer than three random directions of a role.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> found = against_random(rng.normal(size=5), rng.normal(size=(5, 20)))
        >>> found.p_more_adjusted.shape
        (5,)
    """
    there = ~np.isnan(random)
    if not len(effects) or int(there.sum(axis=1).min()) < 3:
        raise RoleLensError("expected at least three random directions of each role")
    statistic, excess, error, degrees = _excess(effects, random)
    quantile = stats.t.ppf((1 + level) / 2, degrees)
    alone = stats.t.sf(statistic, degrees), stats.t.cdf(statistic, degrees)
    every = random[:, there.all(axis=0)]
    if shared or every.shape[1] < _FEWEST:
        more, less = map(_holm, alone)
    else:
        by_rotation = np.stack(
            [_leave_out(every, number)[0] for number in range(every.shape[1])], axis=1
        )
        more = _stepped_down(statistic, by_rotation)
        less = _stepped_down(-statistic, -by_rotation)
    return AgainstRandom(
        excess=excess,
        low=excess - quantile * error,
        high=excess + quantile * error,
        detectable=(stats.t.ppf(0.95, degrees) + stats.norm.ppf(0.8)) * error,
        p_more_alone=alone[0],
        p_less_alone=alone[1],
        p_more_adjusted=more,
        p_less_adjusted=less,
        pooled=_NOTHING_POOLED if shared else _pooled(effects, random, level),
    )


def _excess(
    effects: Float[ndarray, " role"], random: Float[ndarray, "role rotation"]
) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Student's t, excess, its standard error and degrees of freedom, by role."""
    n = (~np.isnan(random)).sum(axis=1)
    excess = effects - np.nanmean(random, axis=1)
    error = np.nanstd(random, axis=1, ddof=1) * np.sqrt(1 + 1 / n)
    # Where all random directions do the same, any difference from that is beyond them.
    beyond = np.where(excess == 0, 0.0, np.copysign(np.inf, excess))
    statistic = np.divide(excess, error, out=beyond, where=error > 0)
    return statistic, excess, error, n - 1


def _leave_out(random: Float[ndarray, "role rotation"], number: int) -> tuple[ndarray, ...]:
    """A rotation in the place of the roles' own directions, against the others."""
    return _excess(random[:, number], np.delete(random, number, axis=1))


def _stepped_down(
    statistic: Float[ndarray, " role"], by_rotation: Float[ndarray, "role rotation"]
) -> Float[ndarray, " role"]:
    order = np.argsort(statistic)  # each is compared with those that are no farther
    farthest = np.maximum.accumulate(by_rotation[order], axis=0)
    reached = (farthest >= statistic[order][:, None] - _TIE).sum(axis=1)
    p = (1 + reached) / (1 + by_rotation.shape[1])
    adjusted = np.empty(len(statistic))
    adjusted[order] = np.maximum.accumulate(p[::-1])[::-1]
    return adjusted


def _holm(p: Float[ndarray, " role"]) -> Float[ndarray, " role"]:
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return adjusted


def _pooled(
    effects: Float[ndarray, " role"], random: Float[ndarray, "role rotation"], level: float
) -> PooledExcess:
    """Means over roles; a role without some rotation counts as its own mean there."""
    filled = np.where(np.isnan(random), np.nanmean(random, axis=1, keepdims=True), random)
    own, others = float(effects.mean()), filled.mean(axis=0)
    n = len(others)
    error = float(others.std(ddof=1) * np.sqrt(1 + 1 / n))
    quantile = float(stats.t.ppf((1 + level) / 2, n - 1))
    excess = own - float(others.mean())
    return PooledExcess(
        excess=excess,
        low=excess - quantile * error,
        high=excess + quantile * error,
        p_more=float((1 + (others >= own - _TIE).sum()) / (1 + n)),
        p_less=float((1 + (others <= own + _TIE).sum()) / (1 + n)),
    )
