"""From scores to a verdict: the effect of each condition, whether it may be chance, and in words.

Knows tables of scores, neither models nor directions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from role_lens.evaluation.statistics import (
    bootstrap_interval,
    mcnemar,
    q_values,
    sign_flip_test,
    smallest_detectable,
)

LEVEL = 0.05
JUDGED = ("persona", "add", "ablate", "shared", "shared_matched", "specific", "specific_matched")
"""Kinds of condition whose effects are tested: those with one condition per role."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What one domain's questions gave under several conditions, the baseline among them."""

    domain: str
    in_domain: bool
    """Whether the roles of these conditions belong to the domain."""
    conditions: pd.DataFrame
    """Columns `kind, role, detail`; the row of kind `none` is the baseline."""
    logprob: Float[ndarray, "condition question"]
    """log p(correct), in nats."""
    correct: Bool[ndarray, "condition question"]


def judge(scores: Sequence[Scores], *, permutations: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Effects of all conditions, tested where one condition stands for a role.

    A change is paired, question by question, with the unchanged model. Every kind of condition is
    a family of its own, inside the roles' domains and outside of them: p values are adjusted for
    all roles and domains in it. "Helps" and "hurts" are two one-sided tests, each at 5 %.

    Returns:
        One row per domain, role and condition: `role, domain, in_domain, kind, detail, n`,
        `effect` (mean change of log p(correct), nats), `sem`, `accuracy`, `accuracy_change`; for
        the kinds in `JUDGED` also `low, high` (95 % bootstrap interval of the effect), `p_helps,
        p_hurts` (alone) and `p_helps_adjusted, p_hurts_adjusted`, `q_helps` (false discovery
        rate), `p_mcnemar` (of the accuracy, two-sided, alone), `detectable` (the smallest effect
        that the test would have found with 80 % power), `random_low, random_high` (the range of
        the random directions' effects) and `verdict`.
    """
    rows = [row for one in scores for row in _rows(one)]
    table = pd.DataFrame([{k: v for k, v in row.items() if k != "change"} for row in rows])
    changes = [row["change"] for row in rows]
    judged = table["kind"].isin(JUDGED)
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
    return _with_verdicts(_with_band(table))


def verdict(
    effect: float,
    *,
    p_helps: float,
    p_hurts: float,
    random_low: float,
    random_high: float,
    detectable: float,
) -> str:
    """What the numbers say, in words.

    Args:
        p_helps, p_hurts: adjusted.
        random_low, random_high: range of the random directions' effects; NaN where there is none.
    """
    if p_helps <= LEVEL:
        also = ", but a random direction does as much" if random_high >= effect else ""
        return f"helps by {effect:.3f}{also}"
    if p_hurts <= LEVEL:
        also = ", as a random direction does" if random_low <= effect else ""
        return f"hurts by {-effect:.3f}{also}"
    return f"no detectable effect; the sample could have shown {detectable:.2g}"


def _rows(scores: Scores) -> Iterator[dict[str, Any]]:
    (baseline,) = np.flatnonzero(scores.conditions["kind"] == "none")
    before = scores.correct[baseline]
    for i, condition in enumerate(scores.conditions.itertuples(index=False)):
        if i == baseline:
            continue
        change = scores.logprob[i] - scores.logprob[baseline]
        after = scores.correct[i]
        yield {
            "role": condition.role,
            "domain": scores.domain,
            "in_domain": scores.in_domain,
            "kind": condition.kind,
            "detail": condition.detail,
            "n": len(change),
            "effect": change.mean(),
            "sem": change.std(ddof=1) / np.sqrt(len(change)),
            "baseline": scores.logprob[baseline].mean(),
            "baseline_accuracy": before.mean(),
            "accuracy_change": after.mean() - before.mean(),
            "p_mcnemar": mcnemar(before, after) if condition.kind in JUDGED else np.nan,
            "change": ((scores.domain, scores.in_domain), change),
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


def _with_band(table: pd.DataFrame) -> pd.DataFrame:
    names = ["role", "domain", "in_domain"]
    random = table[table["kind"] == "random"].groupby(names)["effect"]
    band = random.agg(random_low="min", random_high="max").reset_index()
    return table.merge(band, on=names, how="left")


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    table["verdict"] = None
    for i, row in table[table["kind"].isin(JUDGED)].iterrows():
        table.loc[i, "verdict"] = verdict(
            row["effect"],
            p_helps=row["p_helps_adjusted"],
            p_hurts=row["p_hurts_adjusted"],
            random_low=row["random_low"],
            random_high=row["random_high"],
            detectable=row["detectable"],
        )
    return table


def summary(effects: pd.DataFrame, homes: Mapping[str, str]) -> pd.DataFrame:
    """One row per role and domain, the roles' own domains first.

    Args:
        effects: what `judge` returns.
        homes: role -> its domain; a role without effects there (no direction was chosen for it)
            gets a row that says so.

    Returns:
        `role, domain, in_domain, n, baseline_accuracy, baseline` (mean log p(correct)); the effects
        of all judged kinds side by side and the range of the random directions' effects; and for
        the addition `low, high, accuracy_change, p_mcnemar, p_helps_adjusted, p_hurts_adjusted,
        q_helps, detectable, verdict`.
    """
    names = ["role", "domain", "in_domain"]
    judged = effects[effects["kind"].isin(JUDGED)]
    wide = judged.pivot(index=names, columns="kind", values="effect")
    kinds = [kind for kind in JUDGED if kind in wide.columns]
    columns = ["n", "baseline_accuracy", "baseline"]
    more = ["random_low", "random_high", "low", "high", "accuracy_change", "p_mcnemar"]
    more += ["p_helps_adjusted", "p_hurts_adjusted", "q_helps", "detectable", "verdict"]
    added = judged[judged["kind"] == "add"].set_index(names)
    table = pd.concat([added[columns], wide[kinds], added[more]], axis=1).reset_index()
    absent = [
        {"role": role, "domain": home, "in_domain": True, "verdict": "no direction was chosen"}
        for role, home in homes.items()
        if role not in set(table["role"])
    ]
    table = pd.concat([table, pd.DataFrame(absent)]) if absent else table
    order = table.sort_values(["in_domain", "domain", "role"], ascending=[False, True, True])
    return order.reset_index(drop=True)
