"""From scores to a verdict: the effect of each condition, whether it may be chance, and in words.

effects = judge(scores)           # a row per condition, with p values
summary(effects, homes)           # a row per role and domain
tally(effects)                    # how many are helped and hurt
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from role_lens.experiments.condition_kinds import RANGED, TESTED, ConditionKind, Pair
from role_lens.statistics.paired import (
    bootstrap_interval,
    mcnemar,
    q_values,
    sign_flip_test,
    smallest_detectable,
)

LEVEL = 0.05
_PLACE = ["role", "domain", "in_domain"]


@dataclass(frozen=True, eq=False)
class DomainScores:
    """What one domain's questions gave under several conditions, the baseline among them."""

    domain: str
    in_domain: bool
    """Whether the roles of these conditions belong to the domain."""
    conditions: pd.DataFrame
    """Columns `kind, role, detail`; the row of kind `none` is the baseline."""
    logprob: Float[ndarray, "condition question"]
    """log p(correct), in nats."""
    correct: Bool[ndarray, "condition question"]


def judge(
    scores: Sequence[DomainScores], *, permutations: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """Effects of all conditions, tested where one condition stands for a role.

    A change is paired, question by question, with the unchanged model, or for a `Pair` of
    kinds with another condition. Every kind is a family of its own, inside the roles' domains
    and outside of them: p values are adjusted for all roles and domains in it. "Helps" and "hurts"
    are two one-sided tests, each at 5 %.

    Returns:
        One row per domain, role and condition: `role, domain, in_domain, kind, detail, n`,
        `effect` (mean change of log p(correct), nats), `sem`, `baseline, baseline_accuracy` (of
        what it is compared with), `accuracy_change`; for the tested kinds also
        `low, high` (90 % bootstrap interval of the effect), `p_helps, p_hurts` (alone) and
        `p_helps_adjusted, p_hurts_adjusted`, `q_helps` (false discovery rate), `p_mcnemar` (of the
        accuracy, two-sided, alone) and `detectable` (the smallest effect that the test would have
        found with 80 % power); for single kinds, not pairs, the `verdict`; for the addition
        `p_random`, its rank among the role's `n_random` random directions, (1 + as good ones) /
        (1 + all).

    Raises:
        RoleLensError: an unknown kind of condition.
    """
    table = pd.DataFrame([row for one in scores for row in _rows(one)])
    changes, answers = table.pop("change").tolist(), table.pop("answers").tolist()
    judged = table["kind"].isin(TESTED)
    table["p_mcnemar"] = [
        mcnemar(before, after) if tested else np.nan
        for (before, after), tested in zip(answers, judged, strict=True)
    ]
    for _, family in table[judged].groupby(["in_domain", "kind"], sort=False):
        matrix = _side_by_side([changes[i] for i in family.index])
        helps, hurts = (
            sign_flip_test(matrix, alternative=way, permutations=permutations, seed=seed)
            for way in ("greater", "less")
        )
        table.loc[family.index, "p_helps"] = helps.p
        table.loc[family.index, "p_hurts"] = hurts.p
        table.loc[family.index, "p_helps_adjusted"] = helps.p_adjusted
        table.loc[family.index, "p_hurts_adjusted"] = hurts.p_adjusted
        table.loc[family.index, "q_helps"] = q_values(helps.p)
        for i in family.index:
            table.loc[i, ["low", "high"]] = bootstrap_interval(changes[i][1], seed=seed)
            table.loc[i, "detectable"] = smallest_detectable(changes[i][1], critical=helps.critical)
    return _with_verdicts(table)


def measure(scores: Sequence[DomainScores]) -> pd.DataFrame:
    """Effects of all conditions, untested: for directions that were chosen on these questions.

    Returns:
        The columns of `judge` up to `accuracy_change`.
    """
    rows = [row for one in scores for row in _rows(one)]
    return pd.DataFrame(rows).drop(columns=["change", "answers"])


def verdict(
    effect: float,
    *,
    p_helps: float,
    p_hurts: float,
    detectable: float,
    random: Sequence[float] = (),
) -> str:
    """What the numbers say, in words.

    Args:
        p_helps, p_hurts: adjusted.
        random: effects of random directions that were chosen alike.
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
        return f", {word} so do {sum(as_far)} of {len(as_far)} random directions"
    return f", more than all {len(as_far)} random directions"


def tally(effects: pd.DataFrame) -> pd.DataFrame:
    """How many roles each kind of condition helps and hurts, after adjustment.

    Args:
        effects: what `judge` returns.

    Returns:
        One row per kind, in the roles' own domains and outside of them: `in_domain, kind, n`
        (roles and domains), `mean_effect` over them, `helps, hurts` (numbers of them), and for the
        addition `above_random` (above all of its random directions) and `by_chance`, how many
        would be if it were one of them.
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


def _rows(scores: DomainScores) -> Iterator[dict[str, Any]]:
    """A row for each condition, against the baseline, and for each pair of conditions."""
    labels = scores.conditions.astype(object).where(scores.conditions.notna(), None)
    kinds, roles, details = (labels[name].tolist() for name in ("kind", "role", "detail"))
    place = {key: i for i, key in enumerate(zip(kinds, roles, strict=True))}
    for kind in kinds:
        ConditionKind.of(kind)  # refuses an unknown one, which would be tested by nobody
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


def _side_by_side(
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
        for place, part in table[table["kind"] == "random"].groupby(_PLACE)["effect"]
    }
    for i in table.index[table["kind"].isin([kind.value for kind in ConditionKind if kind.tested])]:
        row = table.loc[i]
        # Only the addition was chosen as the random directions were.
        random = bands.get(tuple(row[_PLACE]), []) if row["kind"] == "add" else []
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
    """One row per role and domain, the roles' own domains first.

    Args:
        effects: what `judge` returns.
        homes: role -> its domain; a role without effects there (no direction was chosen for it)
            gets a row that says so.

    Returns:
        `role, domain, in_domain, n, baseline_accuracy, baseline` (mean log p(correct)); the effects
        of all tested kinds side by side; the range of those of which there are several, such as
        `random_low, random_high`; and for the addition `low, high, accuracy_change, p_mcnemar,
        p_helps_adjusted, p_hurts_adjusted, q_helps, p_random, n_random, detectable, verdict`.
    """
    wide = effects[effects["kind"].isin(TESTED)].pivot(
        index=_PLACE, columns="kind", values="effect"
    )
    wide = wide[[kind for kind in TESTED if kind in wide.columns]]
    several = effects[effects["kind"].isin(RANGED)].groupby([*_PLACE, "kind"])["effect"]
    kinds = [kind for kind in RANGED if kind == "random" or kind in set(effects["kind"])]
    ranges = [
        several.agg(bound).unstack("kind").reindex(columns=kinds).add_suffix(f"_{name}")
        for bound, name in (("min", "low"), ("max", "high"))
    ]
    columns = ["n", "baseline_accuracy", "baseline"]
    more = ["low", "high", "accuracy_change", "p_mcnemar", "p_helps_adjusted", "p_hurts_adjusted"]
    more += ["q_helps", "p_random", "n_random", "detectable", "verdict"]
    added = effects[effects["kind"] == "add"].set_index(_PLACE)
    table = pd.concat([added[columns], wide, *ranges, added[more]], axis=1).reset_index()
    absent = [
        {"role": role, "domain": home, "in_domain": True, "verdict": "no direction was chosen"}
        for role, home in homes.items()
        if role not in set(table["role"])
    ]
    table = pd.concat([table, pd.DataFrame(absent)]) if absent else table
    order = table.sort_values(["in_domain", "domain", "role"], ascending=[False, True, True])
    return order.reset_index(drop=True)
