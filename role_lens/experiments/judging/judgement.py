"""Turns scores into verdicts: tests each condition's effect, and says in words what it shows.

    judge(scores)[["kind", "role", "effect", "verdict"]]

Each kind is set against the unchanged model, and first, if it has a control, against that.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from role_lens.errors import RoleLensError
from role_lens.experiments.condition_kinds import TESTED, ConditionKind
from role_lens.experiments.judging.effects import (
    DomainScores,
    rows_of,
    side_by_side,
    table_of_effects,
)
from role_lens.experiments.judging.verdicts import BOUND, LEVEL, Finding, verdict
from role_lens.statistics.paired import (
    SignFlipTest,
    bootstrap_interval,
    mcnemar,
    q_values,
    sign_flip_test,
    smallest_detectable,
)
from role_lens.statistics.random_band import against_random

_JUDGED = [
    *("role", "domain", "in_domain", "kind", "detail", "n", "effect", "sem", "baseline"),
    *("baseline_accuracy", "accuracy_change", "logprob_change", "p_mcnemar", "p_helps", "p_hurts"),
    *("p_helps_adjusted", "p_hurts_adjusted", "q_helps", "low", "high", "detectable", "knowledge"),
    *("p_knows", "n_random", "excess", "excess_low", "excess_high", "p_more", "p_less"),
    *("p_question_more", "p_question_less", "detectable_excess", "blind_effect"),
    *("beyond_blind_low", "beyond_blind_high", "judged", "verdict"),
]
MIN_CONTROLS = 19
"""The fewest random directions that a role can be set against: then it is more than all of them in
one case of twenty by chance."""


def judge(
    scores: Sequence[DomainScores],
    *,
    bound: float = BOUND,
    judge_all: bool = False,
    permutations: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure the effects of all conditions, and test the kinds that have one condition per role.

    A change is paired, question by question, with the baseline, or for a `Pair` of kinds with the
    other condition. p values are adjusted for all roles and domains of the same kind of condition;
    those inside the roles' own domains and those outside are adjusted apart. All tests are
    one-sided, each at 5 %.

    A kind with a control, as the addition has the random directions, is first set against that:
    over directions (would one more random direction do as much? `against_random`) and over
    questions (would other questions show it?).

    Args:
        scores: scores of all domains.
        bound: effects that are smaller are no difference.
        judge_all: give a verdict even where the unchanged model knows nothing.
        permutations: number of permutations in a sign-flip test.

    Returns:
        One row per domain, role and condition: `role, domain, in_domain, kind, detail, n`
        (questions), `effect` (mean change of the margin), `sem` (its standard error), `baseline,
        baseline_accuracy` (margin and accuracy of what it is compared with), `accuracy_change,
        logprob_change` (of log p(correct), nats). For kinds and pairs that are tested also `low,
        high` (90 % bootstrap interval of the effect), `p_helps, p_hurts` (alone) and
        `p_helps_adjusted, p_hurts_adjusted`, `q_helps` (false discovery rate), `p_mcnemar` (of the
        accuracy, two-sided, alone) and `detectable` (the smallest effect that the test would have
        found with 80 % power). For kinds with a control `n_random`, `excess` (effect minus the mean
        of its random directions), `excess_low, excess_high` (90 % interval: the wider one of those
        over directions and over questions), `p_more, p_less` (over directions, adjusted),
        `p_question_more, p_question_less` (over questions, adjusted), `detectable_excess` (the
        smallest excess that a test over directions would have found with 80 % power, before the
        adjustment), and the `verdict`. In all rows `judged` (whether there was anything to judge),
        `knowledge` and `p_knows`: the unchanged model's mean margin, and its p value. Where it
        was asked, `blind_effect`: the effect without the text of the questions, which is no
        knowledge of their answers, and `beyond_blind_low, beyond_blind_high`, the 90 % interval of
        the effect minus that.

    Raises:
        RoleLensError: an unknown kind of condition, or a condition without a spread.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, judge
        >>> kinds = ["none", "add", *["random"] * 20]
        >>> labels = pd.DataFrame({"kind": kinds, "role": [None, *["poet"] * 21], "detail": None})
        >>> labels.loc[2:, "detail"] = [str(number) for number in range(20)]
        >>> noise = np.random.default_rng(0).normal(0, 0.1, (22, 40))
        >>> margin = 1 + noise + np.array([0.0, 0.5, *[0.1] * 20])[:, None]
        >>> scores = DomainScores("verse", True, labels, margin, margin, margin > 0)
        >>> table = judge([scores], permutations=1000)
        >>> table.loc[table["kind"] == "add", "verdict"].item()
        'more than random by 0.43 (0.41 to 0.46), and more than the unchanged model'
    """
    if not scores:
        return pd.DataFrame(columns=_JUDGED)
    table = table_of_effects(scores)
    changes, answers = table.pop("change").tolist(), table.pop("answers").tolist()
    judged = table["kind"].isin(TESTED)
    table["p_mcnemar"] = [
        mcnemar(before, after) if tested else np.nan
        for (before, after), tested in zip(answers, judged, strict=True)
    ]
    for _, family in table[judged].groupby(["in_domain", "kind"], sort=False):
        matrix = side_by_side([changes[i] for i in family.index])
        helps, hurts = both_tails(matrix, permutations=permutations, seed=seed)
        table.loc[family.index, "p_helps"] = helps.p
        table.loc[family.index, "p_hurts"] = hurts.p
        table.loc[family.index, "p_helps_adjusted"] = helps.p_adjusted
        table.loc[family.index, "p_hurts_adjusted"] = hurts.p_adjusted
        table.loc[family.index, "q_helps"] = q_values(helps.p)
        for i in family.index:
            table.loc[i, ["low", "high"]] = bootstrap_interval(changes[i][1], seed=seed)
            table.loc[i, "detectable"] = smallest_detectable(changes[i][1], critical=helps.critical)
    _tell_knowledge(table, scores, permutations, seed)
    _tell_blind(table, changes, scores, seed)
    for kind in ConditionKind:
        if kind.control is not None:
            for in_domain in (True, False):
                _set_against_random(table, changes, kind, in_domain, permutations, seed)
    return _with_verdicts(table, bound, judge_all)


def knowledge(
    scores: DomainScores, *, permutations: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """How much the unchanged model knows of a domain: its mean margin, and the one-sided p value.

    Where it knows nothing no effect on its knowledge can be judged by these questions.

    Raises:
        RoleLensError: the unchanged model has no margin, since its wrong options have no spread.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, knowledge
        >>> labels = pd.DataFrame({"kind": ["none"], "role": [None], "detail": None})
        >>> margin = np.array([[0.3, 0.4] * 15])
        >>> scores = DomainScores("verse", True, labels, margin, margin, correct=margin > 0)
        >>> mean, p = knowledge(scores, permutations=1000)
        >>> round(mean, 2), p < 0.01
        (0.35, True)
    """
    own = scores.margin[scores.conditions["kind"].tolist().index(ConditionKind.BASELINE.value)]
    if not np.isfinite(own).all():
        raise RoleLensError(
            f"domain {scores.domain!r}: the unchanged model gives wrong options the same score, "
            "so that there is no margin: ask questions whose options differ, and check the model "
            "and its type of numbers"
        )
    test = sign_flip_test(own[None], alternative="greater", permutations=permutations, seed=seed)
    return float(own.mean()), float(test.p[0])


def _tell_knowledge(
    table: pd.DataFrame, scores: Sequence[DomainScores], permutations: int, seed: int
) -> None:
    for one in scores:
        rows = (table["domain"] == one.domain) & (table["in_domain"] == one.in_domain)
        mean, p = knowledge(one, permutations=permutations, seed=seed)
        table.loc[rows, ["knowledge", "p_knows"]] = mean, p


def _tell_blind(
    table: pd.DataFrame,
    changes: Sequence[tuple[Any, Float[ndarray, " _"]]],
    scores: Sequence[DomainScores],
    seed: int,
) -> None:
    """What a condition does without the text of the questions, and what it does beyond that.

    It is left open where all questions have the same options, which then have no spread.
    """
    for one in scores:
        if one.blind is None or not np.isfinite(one.blind.margin).all():
            continue
        for row in rows_of(one.blind):
            same = (table["domain"] == one.domain) & (table["in_domain"] == one.in_domain)
            same &= (table["kind"] == row["kind"]) & (table["role"] == row["role"])
            for i in table.index[same & table["detail"].isna()]:
                _, blind = row["change"]
                table.loc[i, "blind_effect"] = blind.mean()
                beyond = bootstrap_interval(changes[i][1] - blind, seed=seed)
                table.loc[i, ["beyond_blind_low", "beyond_blind_high"]] = beyond


def _set_against_random(
    table: pd.DataFrame,
    changes: Sequence[tuple[Any, Float[ndarray, " _"]]],
    kind: ConditionKind,
    in_domain: bool,
    permutations: int,
    seed: int,
) -> None:
    """Compare a kind with its control, over directions and over questions."""
    own = table[(table["in_domain"] == in_domain) & (table["kind"] == kind.value)]
    random = {i: controls_of(table, row) for i, row in own.iterrows()}
    table.loc[own.index, "n_random"] = [len(rows) for rows in random.values()]
    judged = [i for i, rows in random.items() if len(rows) >= MIN_CONTROLS]
    if not judged:
        return
    excesses = [
        (changes[i][0], changes[i][1] - np.mean([changes[k][1] for k in random[i].index], axis=0))
        for i in judged
    ]
    over_questions = [bootstrap_interval(change, seed=seed) for _, change in excesses]
    more, less = both_tails(side_by_side(excesses), permutations=permutations, seed=seed)
    matrix = by_rotation(random[i] for i in judged)
    shared = is_shared(random[judged[0]])
    found = against_random(own.loc[judged, "effect"].to_numpy(), matrix, shared=shared)
    columns = {
        "excess": found.excess,
        "excess_low": np.minimum(found.low, [low for low, _ in over_questions]),
        "excess_high": np.maximum(found.high, [high for _, high in over_questions]),
        "p_more": found.p_more_adjusted,
        "p_less": found.p_less_adjusted,
        "p_question_more": more.p_adjusted,
        "p_question_less": less.p_adjusted,
        "detectable_excess": found.detectable,
    }
    for name, values in columns.items():
        table.loc[judged, name] = values


def controls_of(effects: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """The rows of the random directions that a condition's row is compared with."""
    control = ConditionKind.of(row["kind"]).control
    assert control is not None
    of_place = (effects["domain"] == row["domain"]) & (effects["in_domain"] == row["in_domain"])
    of_role = effects["role"].isna() | (effects["role"] == row["role"])
    return effects[of_place & of_role & (effects["kind"] == control.value)]


def is_shared(controls: pd.DataFrame) -> bool:
    """Whether these rows of random directions are the same for all roles."""
    return bool(controls["role"].isna().all())


def by_rotation(controls: Iterable[pd.DataFrame]) -> Float[ndarray, "role rotation"]:
    """Effects of roles' random directions, those of one rotation below each other; NaN for none."""
    effects = [rows.set_index("detail")["effect"] for rows in controls]
    table = pd.concat(effects, axis=1, keys=range(len(effects)))
    return table.to_numpy(dtype=np.float64).T


def both_tails(
    changes: Float[ndarray, "candidate question"], *, permutations: int, seed: int
) -> tuple[SignFlipTest, SignFlipTest]:
    """The tests of "helps" and of "hurts", adjusted for all candidates of a family.

    Args:
        changes: of the margin; NaN where a candidate was not asked a question.
    """
    helps, hurts = (
        sign_flip_test(changes, alternative=way, permutations=permutations, seed=seed)
        for way in ("greater", "less")
    )
    return helps, hurts


def _with_verdicts(table: pd.DataFrame, bound: float, judge_all: bool) -> pd.DataFrame:
    table["verdict"] = None
    table["judged"] = judge_all | (table["p_knows"] <= LEVEL)
    table = table.reindex(columns=_JUDGED)
    few = table["judged"].astype(bool) & table["n_random"].between(1, MIN_CONTROLS - 1)
    table.loc[few, "verdict"] = [
        f"too few random directions to tell: {int(n)}, and {MIN_CONTROLS} are needed"
        for n in table.loc[few, "n_random"]
    ]
    learned = table[table["kind"] == ConditionKind.LEARNED.value].set_index(["domain", "role"])
    for i in table.index[table["excess"].notna()]:
        row = table.loc[i]
        ceiling = {}
        if row["kind"] == ConditionKind.ADD.value and (row["domain"], row["role"]) in learned.index:
            best = learned.loc[(row["domain"], row["role"])]
            ceiling = {"learned": best["effect"], "learned_low": best["low"]}
        found = Finding(
            excess=row["excess"],
            low=row["excess_low"],
            high=row["excess_high"],
            p_more=row["p_more"],
            p_less=row["p_less"],
            p_question_more=row["p_question_more"],
            p_question_less=row["p_question_less"],
            p_helps=row["p_helps_adjusted"],
            p_hurts=row["p_hurts_adjusted"],
            knows=bool(row["judged"]),
            needs_question=not row["beyond_blind_low"] <= 0,
            effect=row["effect"],
            **ceiling,
        )
        table.loc[i, "verdict"] = verdict(found, bound=bound)
    return table
