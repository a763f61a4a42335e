"""Measures how often the procedure of `compare` declares a role improved, where the truth is known.

declared_improved(drawn_changes(50, n_validation=100, n_test=200), n_roles=2000).share
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from role_lens.errors import RoleLensError
from role_lens.experiments.condition_kinds import ConditionKind
from role_lens.experiments.judgement import LEVEL, DomainScores, judge
from role_lens.experiments.selection import best_first
from role_lens.statistics.paired import sign_flip_test

Changes = Float[ndarray, "candidate _"]
Draw = Callable[[np.random.Generator], tuple[Changes, Changes]]
"""Changes of one simulated role: on validation questions, and on test questions."""


@dataclass(frozen=True)
class Declared:
    """Shares of simulated roles, with 95 % Clopper-Pearson intervals."""

    n_roles: int
    share: float
    """Declared improved at 5 %: chosen on validation, tested on test."""
    interval: tuple[float, float]
    best_on_test: float
    """Declared improved at 5 % by the best candidate on the test questions, unadjusted: chosen and
    reported on the same questions, as arXiv 2502.12055 does (which doesn't test)."""
    best_on_test_interval: tuple[float, float]
    any_of_family: float
    """Share of families of roles, tested together, in which any role was declared improved."""


def declared_improved(
    draw: Draw,
    n_roles: int,
    *,
    family: int = 1,
    permutations: int = 2_000,
    seed: int = 0,
) -> Declared:
    """Choose and test simulated roles as `compare` does.

    Args:
        draw: gives the changes of log p(correct) of the next role.
        family: how many roles are tested together, and adjusted for.
        permutations: of the sign-flip tests.

    Raises:
        RoleLensError: fewer roles than a family has.
    """
    if not 1 <= family <= n_roles:
        raise RoleLensError(f"a family of {family} needs as many roles, got {n_roles}")
    rng = np.random.default_rng(seed)
    declared: list[list[bool]] = []
    lucky: list[bool] = []
    for number in range(n_roles // family):
        tests = []
        for _ in range(family):
            validation, test = draw(rng)
            tests.append(test[_best(validation)])
            best = test[[_best(test)]]
            p = sign_flip_test(best, alternative="greater", permutations=permutations, seed=number)
            lucky.append(bool(p.p[0] <= LEVEL))
        effects = judge(_as_scores(tests), permutations=permutations, seed=number)
        declared.append((effects["p_helps_adjusted"] <= LEVEL).tolist())
    roles = np.array(declared)
    return Declared(
        n_roles=roles.size,
        share=float(roles.mean()),
        interval=_interval(roles),
        best_on_test=float(np.mean(lucky)),
        best_on_test_interval=_interval(np.array(lucky)),
        any_of_family=float(roles.any(axis=1).mean()),
    )


def drawn_changes(
    n_candidates: int,
    n_validation: int,
    n_test: int,
    *,
    effect: float = 0.0,
    correlation: float = 0.5,
) -> Draw:
    """Changes from Student's t distribution with 3 degrees of freedom, of variance 1, whose tails
    are heavy as those of log-probabilities; all candidates correlated as if on one question.

    Args:
        effect: mean change of the first candidate, in standard deviations; of the others it is 0.
    """

    def draw(rng: np.random.Generator) -> tuple[Changes, Changes]:
        n = n_validation + n_test
        common = rng.standard_t(3, size=n)
        own = rng.standard_t(3, size=(n_candidates, n))
        changes = (np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own) / np.sqrt(3)
        changes[0] += effect
        return changes[:, :n_validation], changes[:, n_validation:]

    return draw


def resampled_changes(
    changes: Changes, n_validation: int, n_test: int, *, effect: float = 0.0
) -> Draw:
    """Questions drawn from measured ones, each candidate's changes less their mean: real
    distributions, skewed as they are, of which the truth is that there is no effect.

    Args:
        changes: measured, in any unit.
        effect: mean change of the first candidate, in its own standard deviations.
    """
    centred = changes - changes.mean(axis=1, keepdims=True)
    centred[0] += effect * changes[0].std()

    def draw(rng: np.random.Generator) -> tuple[Changes, Changes]:
        drawn = rng.integers(0, changes.shape[1], n_validation + n_test)
        return centred[:, drawn[:n_validation]], centred[:, drawn[n_validation:]]

    return draw


def _best(changes: Changes) -> int:
    """The candidate that the default objective chooses."""
    effects = pd.DataFrame({"effect": changes.mean(axis=1), "accuracy_change": 0.0})
    return int(best_first(effects).index[0])


def _as_scores(tests: list[Float[ndarray, " question"]]) -> list[DomainScores]:
    """Scores in which adding a role's direction changes log p(correct) as given; each role has its
    own questions, as roles of different domains have."""
    labels = pd.DataFrame(
        {
            "kind": [ConditionKind.BASELINE.value, ConditionKind.ADD.value],
            "role": [None, "role"],
            "detail": None,
        }
    )
    return [
        DomainScores(
            f"domain {number}",
            True,
            labels,
            np.stack([np.zeros_like(change), change]),
            np.zeros((2, len(change)), dtype=bool),
        )
        for number, change in enumerate(tests)
    ]


def _interval(declared: np.ndarray) -> tuple[float, float]:
    found = stats.binomtest(int(declared.sum()), declared.size).proportion_ci()
    return float(found.low), float(found.high)
