"""Tests paired changes of scores: whether a change may be chance, and how large it may be.

    test = sign_flip_test(changes, alternative="greater")    # changes: candidate x question
    test.p_adjusted

A change is the score of a question with a patch, minus the score of the same question without.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import stats

from role_lens.errors import RoleLensError

Alternative = Literal["greater", "less", "two-sided"]
"""In which direction a mean change is tested."""

_CHUNK = 2**23  # most statistics of permutations at once
_TIE = 1e-9  # statistics that differ by less are equal but for rounding


@dataclass(frozen=True, eq=False)
class SignFlipTest:
    """What `sign_flip_test` found: how likely the mean changes of some candidates are by chance.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import sign_flip_test
        >>> changes = np.array([[0.2, 0.1, 0.3, 0.2, 0.1, 0.3], [0.1, -0.2, 0.0, 0.1, -0.1, 0.1]])
        >>> sign_flip_test(changes, alternative="greater").p_adjusted.round(3).tolist()
        [0.016, 0.625]
    """

    p: Float[ndarray, " candidate"]
    """p value of each candidate, as if it alone had been tried."""
    p_adjusted: Float[ndarray, " candidate"]
    """p values adjusted for having tried all candidates: of those at or below some level, the
    chance that even one is there without an effect is at most that level."""
    critical: float
    """What the best candidate's statistic exceeds by chance in 5 % of the cases."""


def sign_flip_test(
    changes: Float[ndarray, "candidate question"],
    *,
    alternative: Alternative = "two-sided",
    permutations: int = 10_000,
    seed: int = 0,
) -> SignFlipTest:
    """Test mean changes against zero, by flipping the signs of the changes on whole questions.

    Assumes that without an effect a question's change is as likely to be up as down: then every
    pattern of signs is as likely as the one observed. Where changes are skewed about a mean of
    zero, this holds only for many questions. A question's sign is flipped for all candidates
    together, which keeps their correlation. The adjustment is the step-down max-T of Westfall and
    Young (1993, algorithm 4.1; Ge, Dudoit and Speed 2003, box 2). The statistic is z = Σx / √Σx²,
    whose variance is 1 under the flips; for one number of questions it orders candidates as
    Student's t does.

    Args:
        changes: for each candidate and question, the score with the patch minus that without, in
            any unit; NaN where a candidate was not asked a question.
        alternative: whether mean changes above zero are looked for (`greater`), below zero
            (`less`), or both (`two-sided`).
        permutations: number of random patterns of signs. If there are no more patterns than that,
            all are taken once, and the test is exact.

    Raises:
        RoleLensError: no candidates or questions, a candidate without changes, infinite changes, no
            permutations, or an unknown alternative.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import sign_flip_test
        >>> test = sign_flip_test(np.array([[0.2, 0.1, 0.3, 0.2, 0.1, 0.3]]), alternative="greater")
        >>> float(test.p[0]) == 1 / 2**6    # one of 64 patterns of signs is as high
        True
    """
    if permutations < 1:
        raise RoleLensError(f"permutations must be at least 1, got {permutations}")
    if alternative not in get_args(Alternative):
        raise RoleLensError(
            f"alternative must be one of {get_args(Alternative)}, got {alternative!r}"
        )
    if changes.size == 0 or np.isinf(changes).any() or np.isnan(changes).all(axis=1).any():
        raise RoleLensError(
            "expected finite changes on at least one question for each of at least one candidate, "
            f"got shape {changes.shape}"
        )
    changes = np.nan_to_num(changes.astype(np.float64))
    size = np.sqrt(np.square(changes).sum(axis=1, keepdims=True))
    scaled = np.divide(changes, size, out=np.zeros_like(changes), where=size > 0)

    def statistic(z: ndarray) -> ndarray:
        if alternative == "two-sided":
            return np.abs(z)
        return z if alternative == "greater" else -z

    observed = statistic(scaled.sum(axis=1))
    order = np.argsort(observed)  # the adjustment compares each with those that are no better
    reached = np.zeros(len(changes))
    reached_by_any = np.zeros(len(changes))
    largest, n_patterns = [], 0
    n = changes.shape[1]
    for signs in _signs(n, permutations, max(1, _CHUNK // max(len(changes), n)), seed):
        values = statistic(signs @ scaled.T)
        reached += (values >= observed - _TIE).sum(axis=0)
        best = np.maximum.accumulate(values[:, order], axis=1)
        reached_by_any += (best >= observed[order] - _TIE).sum(axis=0)
        largest.append(best[:, -1])
        n_patterns += len(signs)
    # The observed pattern is one of all, but not of those drawn (Phipson and Smyth 2010).
    extra = 0 if _all_patterns(n, permutations) else 1
    step = (reached_by_any + extra) / (n_patterns + extra)
    adjusted = np.empty(len(changes))
    adjusted[order] = np.maximum.accumulate(step[::-1])[::-1]
    return SignFlipTest(
        p=(reached + extra) / (n_patterns + extra),
        p_adjusted=adjusted,
        critical=float(np.quantile(np.concatenate(largest), 0.95)),
    )


def q_values(p: Float[ndarray, " candidate"]) -> Float[ndarray, " candidate"]:
    """False discovery rate at which each candidate would be called a discovery.

    Source: Benjamini and Hochberg 1995.

    Args:
        p: p value of each candidate, as if it alone had been tried.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import q_values
        >>> q_values(np.array([0.01, 0.02, 0.5])).round(3).tolist()
        [0.03, 0.03, 0.5]
    """
    return stats.false_discovery_control(p)


def mcnemar(before: Bool[ndarray, " question"], after: Bool[ndarray, " question"]) -> float:
    """Exact two-sided p value of a change of accuracy (McNemar 1947).

    It is that of a binomial test of the questions that became right against those that became
    wrong.

    Args:
        before: whether each question was answered correctly without the patch.
        after: the same with the patch.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import mcnemar
        >>> mcnemar(before=np.zeros(8, dtype=bool), after=np.ones(8, dtype=bool)) == 2 / 2**8
        True
    """
    gained = int((after & ~before).sum())
    lost = int((before & ~after).sum())
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def bootstrap_interval(
    change: Float[ndarray, " question"], *, level: float = 0.9, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of a mean change, bias-corrected and accelerated (Efron 1987).

    Args:
        change: change of each question, in any unit.
        level: confidence level; the default goes with two one-sided tests at 5 %.

    Returns:
        Lower and upper end, in the unit of the changes; both are the mean where all changes are
        equal.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import bootstrap_interval
        >>> low, high = bootstrap_interval(np.array([0.2, 0.1, 0.3, 0.2, 0.1, 0.3]))
        >>> 0.1 < low < 0.2 < high < 0.3
        True
    """
    if np.ptp(change) == 0:
        return float(change.mean()), float(change.mean())
    interval = stats.bootstrap(
        (change,),
        np.mean,
        batch=max(1, _CHUNK // len(change)),
        confidence_level=level,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def smallest_detectable(
    change: Float[ndarray, " question"], *, critical: float = 1.645, power: float = 0.8
) -> float:
    """The smallest mean change that a test like this would have found with some power.

    It is (t + z) s / √n (Cohen 1988, section 2), for n questions: t is the critical value, z the
    power's quantile, s the standard deviation of the changes. Infinite for too few questions.

    Args:
        change: change of each question, in any unit; the result has the same.
        critical: what the statistic has to exceed, such as `SignFlipTest.critical`; the default is
            that of one one-sided test at 5 %.
        power: chance that a change of this size is found.

    Examples:
        >>> import numpy as np
        >>> from role_lens.statistics import smallest_detectable
        >>> round(smallest_detectable(np.array([0.1, -0.1] * 50)), 3)    # 100 questions
        0.025
    """
    n = len(change)
    if critical**2 >= n or n < 2:
        return float("inf")
    t = critical * np.sqrt((n - 1) / (n - critical**2))
    return float((t + stats.norm.ppf(power)) * change.std(ddof=1) / np.sqrt(n))


def _signs(
    n: int, permutations: int, rows: int, seed: int
) -> Iterator[Float[ndarray, "pattern question"]]:
    """All patterns of n signs, or some at random, in pieces."""
    if _all_patterns(n, permutations):
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        for start in range(0, len(bits), rows):
            yield 1.0 - 2.0 * bits[start : start + rows]
        return
    rng = np.random.default_rng(seed)
    for start in range(0, permutations, rows):
        yield rng.integers(0, 2, (min(rows, permutations - start), n)) * 2.0 - 1.0


def _all_patterns(n: int, permutations: int) -> bool:
    return n < 60 and 2**n <= permutations
