"""Measures how often the procedure of `compare` declares a role improved, where the truth is known.

    draw = drawn_changes(50, n_validation=100, n_test=200)    # 50 candidates without an effect
    declared_improved(draw, n_roles=2000).share               # about 0.05

Roles are simulated: no model is run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from role_lens.errors import RoleLensError
from role_lens.experiments.judgement import LEVEL, both_tails, side_by_side
from role_lens.experiments.selection import best_first
from role_lens.statistics.paired import sign_flip_test

Changes = Float[ndarray, "candidate _"]
Draw = Callable[[np.random.Generator], tuple[Changes, Changes]]
"""Gives the changes of log p(correct) of one simulated role: on validation questions, and on test
questions."""


@dataclass(frozen=True)
class Declared:
    """How many simulated roles are declared improved, as `declared_improved` found it.

    Intervals are 95 % Clopper-Pearson intervals.

    Examples:
        >>> from role_lens.experiments import declared_improved, drawn_changes
        >>> draw = drawn_changes(10, n_validation=40, n_test=40)
        >>> declared = declared_improved(draw, n_roles=20, permutations=100)
        >>> declared.n_roles, declared.interval[0] <= declared.share <= declared.interval[1]
        (20, True)
    """

    n_roles: int
    """Number of simulated roles."""
    share: float
    """Share of roles that are declared improved at 5 %, by the candidate that was chosen on the
    validation questions and tested on the test questions."""
    interval: tuple[float, float]
    """Interval of `share`."""
    best_on_test: float
    """Share of roles that are declared improved at 5 %, unadjusted, by the best candidate on the
    test questions: chosen and reported on the same questions, as arXiv 2502.12055 does (which
    doesn't test)."""
    best_on_test_interval: tuple[float, float]
    """Interval of `best_on_test`."""
    any_of_family: float
    """Share of families of roles, tested together, in which any role is declared improved."""


def declared_improved(
    draw: Draw,
    n_roles: int,
    *,
    family: int = 1,
    permutations: int = 2_000,
    seed: int = 0,
) -> Declared:
    """Choose and test simulated roles as `compare` does, and count those declared improved.

    Args:
        draw: gives the changes of log p(correct) of the next role, see `drawn_changes` and
            `resampled_changes`.
        n_roles: number of simulated roles.
        family: how many roles are tested together, and adjusted for.
        permutations: number of permutations in a sign-flip test.

    Raises:
        RoleLensError: a family of no roles, or of more than there are.

    Examples:
        >>> from role_lens.experiments import declared_improved, drawn_changes
        >>> draw = drawn_changes(10, n_validation=40, n_test=40)   # 10 candidates, no effect
        >>> declared = declared_improved(draw, n_roles=40, permutations=100)
        >>> declared.share < declared.best_on_test
        True
    """
    if not 1 <= family <= n_roles:
        raise RoleLensError(f"family must be 1 to n_roles, {n_roles}, got {family}")
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
        # Each role has its own questions, as roles of different domains have.
        matrix = side_by_side(list(enumerate(tests)))
        helps, _ = both_tails(matrix, permutations=permutations, seed=number)
        declared.append((helps.p_adjusted <= LEVEL).tolist())
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
    """Simulate roles whose changes have heavy tails, as changes of log-probabilities do.

    They are drawn from Student's t distribution with 3 degrees of freedom, scaled to variance 1. On
    each question candidates have a part in common, as if they were asked the same one.

    Args:
        n_candidates: number of candidates of a role.
        n_validation: number of questions that choose.
        n_test: number of questions that test.
        effect: mean change of the first candidate, in standard deviations; of the others it is 0.
        correlation: correlation of any two candidates' changes.

    Examples:
        >>> import numpy as np
        >>> from role_lens.experiments import drawn_changes
        >>> validation, test = drawn_changes(10, 30, 50)(np.random.default_rng(0))
        >>> validation.shape, test.shape
        ((10, 30), (10, 50))
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
    """Simulate roles by drawing questions, with replacement, from measured changes.

    Each candidate's mean is subtracted first. So the distributions are real, and as skewed as they
    are, while the truth is that there is no effect.

    Args:
        changes: measured changes, in any unit.
        n_validation: number of questions that choose.
        n_test: number of questions that test.
        effect: mean change of the first candidate, in its own standard deviations; of the others it
            is 0.

    Examples:
        >>> import numpy as np
        >>> from role_lens.experiments import resampled_changes
        >>> measured = np.array([[0.1, 0.2, 0.3], [0.0, -0.1, 0.4]])
        >>> validation, test = resampled_changes(measured, 30, 50)(np.random.default_rng(0))
        >>> validation.shape, test.shape
        ((2, 30), (2, 50))
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


def _interval(declared: np.ndarray) -> tuple[float, float]:
    found = stats.binomtest(int(declared.sum()), declared.size).proportion_ci()
    return float(found.low), float(found.high)
