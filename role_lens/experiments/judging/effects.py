"""Measures what each condition does: its mean change of the margin against the baseline.

    measure(scores)[["kind", "role", "effect"]]

An effect is a mean change of the margin, see `role_lens.scoring.margins`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from role_lens.errors import RoleLensError
from role_lens.experiments.condition_kinds import ConditionKind, Pair


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
    margin: Float[ndarray, "condition question"]
    """How far the right option stands above the wrong ones, in their spreads."""
    logprob: Float[ndarray, "condition question"]
    """log p(correct), in nats."""
    correct: Bool[ndarray, "condition question"]
    """Whether the answer is correct."""
    blind: "DomainScores | None" = None
    """Scores under some of the conditions of the same questions without their text; None where they
    were not asked."""


def measure(scores: Sequence[DomainScores]) -> pd.DataFrame:
    """Measure the effects of all conditions, without tests.

    That is for directions that were chosen on these questions, which can't be tested on them.

    Returns:
        The columns of `judge` up to `logprob_change`.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, measure
        >>> labels = pd.DataFrame({"kind": ["none", "add"], "role": [None, "poet"], "detail": None})
        >>> margin = np.array([[0.1] * 30, [0.3, 0.4] * 15])    # baseline, with the addition
        >>> scores = DomainScores("verse", True, labels, margin, margin, correct=margin > 0.35)
        >>> measure([scores])[["effect", "accuracy_change"]].round(2).values.tolist()
        [[0.25, 0.5]]
    """
    return table_of_effects(scores).drop(columns=["change", "answers"])


def table_of_effects(scores: Sequence[DomainScores]) -> pd.DataFrame:
    rows = [row for one in scores for row in rows_of(one)]
    if not rows:
        raise RoleLensError("expected scores of at least one condition beside the baseline")
    return pd.DataFrame(rows)


def rows_of(scores: DomainScores) -> Iterator[dict[str, Any]]:
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
    scores: DomainScores, kind: str, role: str | None, detail: str | None, one: int, other: int
) -> dict[str, Any]:
    change = scores.margin[one] - scores.margin[other]
    if not np.isfinite(change).all():
        raise RoleLensError(
            f"{kind} of role {role!r}, domain {scores.domain!r}: the wrong options have no spread "
            "under it, so that nothing can be said of it; try a smaller coefficient"
        )
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
        "baseline": scores.margin[other].mean(),
        "baseline_accuracy": before.mean(),
        "accuracy_change": after.mean() - before.mean(),
        "logprob_change": scores.logprob[one].mean() - scores.logprob[other].mean(),
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
