"""Turns scores into verdicts: measures each condition's effect, tests it, and says it in words.

    effects = judge(scores)           # a row per condition, with p values
    summary(effects, homes)           # a row per role and domain
    tally(effects)                    # how many are helped and hurt

An effect is a mean change of log p(correct), in nats.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from role_lens.errors import RoleLensError
from role_lens.experiments.condition_kinds import RANGED, TESTED, ConditionKind, Pair
from role_lens.statistics.paired import (
    SignFlipTest,
    bootstrap_interval,
    mcnemar,
    q_values,
    sign_flip_test,
    smallest_detectable,
)

LEVEL = 0.05
"""The level of all tests: 5 %."""
_PLACE = ["role", "domain", "in_domain"]
_ADD, _RANDOM = ConditionKind.ADD.value, ConditionKind.RANDOM.value


@dataclass(frozen=True, eq=False)
class DomainScores:
    """Scores of one domain's questions under several conditions, the baseline among them.

    Examples:
        >>> from role_lens.experiments import baseline, score_conditions
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(questions)
        >>> found = score_conditions(asked, [baseline()], folder / "d", domain="d", in_domain=True)
        >>> found.conditions["kind"].tolist(), found.correct.shape
        (['none'], (1, 4))
    """

    domain: str
    """Domain of the questions."""
    in_domain: bool
    """Whether it is the own domain of the conditions' roles."""
    conditions: pd.DataFrame
    """Columns `kind, role, detail`; the row of kind `none` is the baseline."""
    logprob: Float[ndarray, "condition question"]
    """log p(correct), in nats."""
    correct: Bool[ndarray, "condition question"]
    """Whether the answer is correct."""


def judge(
    scores: Sequence[DomainScores], *, permutations: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """Measure the effects of all conditions, and test the kinds that have one condition per role.

    A change is paired, question by question, with the baseline, or for a `Pair` of kinds with the
    other condition. p values are adjusted for all roles and domains of the same kind of condition;
    those inside the roles' own domains and those outside are adjusted apart. "Helps" and "hurts"
    are two one-sided tests, each at 5 %.

    Args:
        scores: scores of all domains.
        permutations: number of permutations in a sign-flip test.

    Returns:
        One row per domain, role and condition: `role, domain, in_domain, kind, detail, n`
        (questions), `effect` (mean change of log p(correct), nats), `sem` (its standard error),
        `baseline, baseline_accuracy` (log p(correct) and accuracy of what it is compared with),
        `accuracy_change`. For kinds and pairs that are tested also `low, high` (90 % bootstrap
        interval of the effect), `p_helps, p_hurts` (alone) and `p_helps_adjusted,
        p_hurts_adjusted`, `q_helps` (false discovery rate), `p_mcnemar` (of the accuracy,
        two-sided, alone) and `detectable` (the smallest effect that the test would have found with
        80 % power). For kinds that are tested, not pairs, the `verdict`. For the addition
        `p_random`, its rank among the role's `n_random` random directions: (1 + those that are as
        good) / (1 + all).

    Raises:
        RoleLensError: an unknown kind of condition.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, judge
        >>> labels = pd.DataFrame({"kind": ["none", "add"], "role": [None, "poet"], "detail": None})
        >>> logprob = np.array([[-1.0] * 30, [-0.9, -0.8] * 15])    # baseline, with the addition
        >>> scores = DomainScores("verse", True, labels, logprob, correct=logprob > -0.85)
        >>> judge([scores])[["role", "kind", "verdict"]].values.tolist()
        [['poet', 'add', 'helps by 0.15']]
    """
    table = _table(scores)
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
    return _with_verdicts(table)


def both_tails(
    changes: Float[ndarray, "candidate question"], *, permutations: int, seed: int
) -> tuple[SignFlipTest, SignFlipTest]:
    """The tests of "helps" and of "hurts", adjusted for all candidates of a family.

    Args:
        changes: of log p(correct), in nats; NaN where a candidate was not asked a question.
    """
    helps, hurts = (
        sign_flip_test(changes, alternative=way, permutations=permutations, seed=seed)
        for way in ("greater", "less")
    )
    return helps, hurts


def measure(scores: Sequence[DomainScores]) -> pd.DataFrame:
    """Measure the effects of all conditions, without tests.

    That is for directions that were chosen on these questions, which can't be tested on them.

    Returns:
        The columns of `judge` up to `accuracy_change`.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, measure
        >>> labels = pd.DataFrame({"kind": ["none", "add"], "role": [None, "poet"], "detail": None})
        >>> logprob = np.array([[-1.0] * 30, [-0.9, -0.8] * 15])    # baseline, with the addition
        >>> scores = DomainScores("verse", True, labels, logprob, correct=logprob > -0.85)
        >>> measure([scores])[["effect", "accuracy_change"]].round(2).values.tolist()
        [[0.15, 0.5]]
    """
    return _table(scores).drop(columns=["change", "answers"])


def verdict(
    effect: float,
    *,
    p_helps: float,
    p_hurts: float,
    detectable: float,
    random: Sequence[float] = (),
) -> str:
    """Say in words what the numbers of one condition mean.

    Args:
        effect: mean change of log p(correct), in nats.
        p_helps, p_hurts: adjusted p values.
        detectable: the smallest effect that the test would have found, in nats.
        random: effects of random directions that were chosen alike.

    Examples:
        >>> from role_lens.experiments import verdict
        >>> verdict(0.05, p_helps=0.01, p_hurts=1.0, detectable=0.03, random=[0.02, 0.06])
        'helps by 0.05, but so does 1 of 2 random directions'
    """
    if p_helps <= LEVEL:
        beside = _beside("but", [bool(other >= effect) for other in random])
        return f"helps by {effect:.2g}{beside}"
    if p_hurts <= LEVEL:
        beside = _beside("and", [bool(other <= effect) for other in random])
        return f"hurts by {-effect:.2g}{beside}"
    if detectable == 0:
        return "changes nothing"
    return f"no detectable effect; the sample could have shown {detectable:.2g}"


def _beside(word: str, as_far: Sequence[bool]) -> str:
    """How many random directions do as much."""
    if not as_far:
        return ""
    if any(as_far):
        do = "does" if sum(as_far) == 1 else "do"
        return f", {word} so {do} {sum(as_far)} of {len(as_far)} random directions"
    return f", more than all {len(as_far)} random directions"


def tally(effects: pd.DataFrame) -> pd.DataFrame:
    """Count the roles that each kind of condition helps and hurts, after adjustment.

    Args:
        effects: what `judge` returns.

    Returns:
        One row per kind, in the roles' own domains and outside of them: `in_domain, kind, n` (roles
        and domains), `mean_effect` over them (nats), `helps, hurts` (numbers of them), and for the
        addition `above_random` (number above all of their random directions) and `by_chance`, how
        many would be if the addition were one of these.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, judge, tally
        >>> labels = pd.DataFrame({"kind": ["none", "add"], "role": [None, "poet"], "detail": None})
        >>> logprob = np.array([[-1.0] * 30, [-0.9, -0.8] * 15])    # baseline, with the addition
        >>> scores = DomainScores("verse", True, labels, logprob, correct=logprob > -0.85)
        >>> tally(judge([scores]))[["kind", "n", "helps", "hurts"]].values.tolist()
        [['add', 1, 1, 0]]
    """
    rows = []
    tested = effects[effects["kind"].isin(TESTED)]
    for (in_domain, kind), part in tested.groupby(["in_domain", "kind"]):
        ranked = part["p_random"].dropna()
        least = 1 / (1 + part["n_random"])
        rows.append(
            {
                "in_domain": in_domain,
                "kind": kind,
                "n": len(part),
                "mean_effect": part["effect"].mean(),
                "helps": int((part["p_helps_adjusted"] <= LEVEL).sum()),
                "hurts": int((part["p_hurts_adjusted"] <= LEVEL).sum()),
                "above_random": int((part["p_random"] == least).sum()) if len(ranked) else pd.NA,
                "by_chance": least[ranked.index].sum() if len(ranked) else np.nan,
            }
        )
    order = {kind: i for i, kind in enumerate(TESTED)}
    table = pd.DataFrame(rows).astype({"above_random": "Int64"})
    table = table.sort_values(
        ["in_domain", "kind"], key=lambda c: c.map(order) if c.name == "kind" else ~c
    )
    return table.reset_index(drop=True)


def _table(scores: Sequence[DomainScores]) -> pd.DataFrame:
    rows = [row for one in scores for row in _rows(one)]
    if not rows:
        raise RoleLensError("expected scores of at least one condition beside the baseline")
    return pd.DataFrame(rows)


def _rows(scores: DomainScores) -> Iterator[dict[str, Any]]:
    """A row for each condition, against the baseline, and for each pair of conditions."""
    labels = scores.conditions.astype(object).where(scores.conditions.notna(), None)
    kinds, roles, details = (labels[name].tolist() for name in ("kind", "role", "detail"))
    place = {key: i for i, key in enumerate(zip(kinds, roles, strict=True))}
    for kind in kinds:
        ConditionKind.of(kind)  # refuses an unknown one, which would be tested by nobody
    if ConditionKind.BASELINE.value not in kinds:
        raise RoleLensError(f"expected the baseline among the conditions, got {sorted(set(kinds))}")
    baseline = kinds.index(ConditionKind.BASELINE.value)
    for i, names in enumerate(zip(kinds, roles, details, strict=True)):
        if i != baseline:
            yield _row(scores, *names, i, baseline)
    for role in dict.fromkeys(scores.conditions["role"].dropna()):
        for pair in Pair:
            one, other = ((kind.value, role) for kind in pair.value)
            if one in place and other in place:
                yield _row(scores, pair.label, role, None, place[one], place[other])


def _row(
    scores: DomainScores, kind: str, role: str, detail: str | None, one: int, other: int
) -> dict[str, Any]:
    change = scores.logprob[one] - scores.logprob[other]
    before, after = scores.correct[other], scores.correct[one]
    return {
        "role": role,
        "domain": scores.domain,
        "in_domain": scores.in_domain,
        "kind": kind,
        "detail": detail,
        "n": len(change),
        "effect": change.mean(),
        "sem": change.std(ddof=1) / np.sqrt(len(change)),
        "baseline": scores.logprob[other].mean(),
        "baseline_accuracy": before.mean(),
        "accuracy_change": after.mean() - before.mean(),
        "change": ((scores.domain, scores.in_domain), change),
        "answers": (before, after),
    }


def side_by_side(
    changes: Sequence[tuple[Any, Float[ndarray, " _"]]],
) -> Float[ndarray, "candidate question"]:
    """Changes on the questions of several domains as one matrix, NaN where not asked."""
    length = {domain: len(change) for domain, change in changes}
    start = dict(zip(length, np.cumsum([0, *length.values()]), strict=False))
    matrix = np.full((len(changes), sum(length.values())), np.nan)
    for row, (domain, change) in enumerate(changes):
        matrix[row, start[domain] : start[domain] + len(change)] = change
    return matrix


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    table["verdict"] = None
    table["p_random"] = np.nan
    table["n_random"] = 0
    bands: dict[Any, list[float]] = {
        place: part.tolist()
        for place, part in table[table["kind"] == _RANDOM].groupby(_PLACE)["effect"]
    }
    for i in table.index[table["kind"].isin([kind.value for kind in ConditionKind if kind.tested])]:
        row = table.loc[i]
        # Only the addition was chosen as the random directions were.
        random = bands.get(tuple(row[_PLACE]), []) if row["kind"] == _ADD else []
        table.loc[i, "verdict"] = verdict(
            row["effect"],
            p_helps=row["p_helps_adjusted"],
            p_hurts=row["p_hurts_adjusted"],
            detectable=row["detectable"],
            random=random,
        )
        if random:
            as_good = sum(other >= row["effect"] for other in random)
            table.loc[i, "p_random"] = (1 + as_good) / (1 + len(random))
            table.loc[i, "n_random"] = len(random)
    return table


def summary(effects: pd.DataFrame, homes: Mapping[str, str]) -> pd.DataFrame:
    """Put the effects of a role on a domain into one row, the roles' own domains first.

    Args:
        effects: what `judge` returns.
        homes: role -> its own domain. A role without effects there (no direction was chosen for it)
            gets a row that says so.

    Returns:
        `role, domain, in_domain, n` (questions), `baseline_accuracy, baseline` (mean log
        p(correct), nats); the effects of all tested kinds and pairs side by side; the range of the
        kinds that have several conditions, such as `random_low, random_high`; and for the addition
        `low, high, accuracy_change, p_mcnemar, p_helps_adjusted, p_hurts_adjusted, q_helps,
        p_random, n_random, detectable, verdict`.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, judge, summary
        >>> labels = pd.DataFrame({"kind": ["none", "add"], "role": [None, "poet"], "detail": None})
        >>> logprob = np.array([[-1.0] * 30, [-0.9, -0.8] * 15])    # baseline, with the addition
        >>> scores = DomainScores("verse", True, labels, logprob, correct=logprob > -0.85)
        >>> table = summary(judge([scores]), {"poet": "verse", "cook": "food"})
        >>> table[["role", "verdict"]].values.tolist()
        [['cook', 'no direction was chosen'], ['poet', 'helps by 0.15']]
    """
    wide = effects[effects["kind"].isin(TESTED)].pivot(
        index=_PLACE, columns="kind", values="effect"
    )
    wide = wide[[kind for kind in TESTED if kind in wide.columns]]
    several = effects[effects["kind"].isin(RANGED)].groupby([*_PLACE, "kind"])["effect"]
    kinds = [kind for kind in RANGED if kind == _RANDOM or kind in set(effects["kind"])]
    ranges = [
        several.agg(bound).unstack("kind").reindex(columns=kinds).add_suffix(f"_{name}")
        for bound, name in (("min", "low"), ("max", "high"))
    ]
    columns = ["n", "baseline_accuracy", "baseline"]
    more = ["low", "high", "accuracy_change", "p_mcnemar", "p_helps_adjusted", "p_hurts_adjusted"]
    more += ["q_helps", "p_random", "n_random", "detectable", "verdict"]
    added = effects[effects["kind"] == _ADD].set_index(_PLACE)
    table = pd.concat([added[columns], wide, *ranges, added[more]], axis=1).reset_index()
    absent = [
        {"role": role, "domain": home, "in_domain": True, "verdict": "no direction was chosen"}
        for role, home in homes.items()
        if role not in set(table["role"])
    ]
    table = pd.concat([table, pd.DataFrame(absent)]) if absent else table
    order = table.sort_values(["in_domain", "domain", "role"], ascending=[False, True, True])
    return order.reset_index(drop=True)
