"""Puts what was judged into short tables: by role, all roles together, and in numbers.

    effects = judge(scores)           # a row per condition, with p values
    summary(effects, homes)           # a row per role and domain
    pooled(effects)                   # all roles together, against random directions
    tally(effects)                    # how many do more than random

All three take what `judge` returns.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy import stats

from role_lens.experiments.condition_kinds import RANGED, TESTED, ConditionKind
from role_lens.experiments.judging.judgement import (
    MIN_CONTROLS,
    by_rotation,
    controls_of,
    is_shared,
)
from role_lens.experiments.judging.verdicts import LEVEL
from role_lens.statistics.random_band import against_random

_PLACE = ["role", "domain", "in_domain"]
_POOLED = [
    *("in_domain", "kind", "domain", "n", "n_random", "effect", "excess", "low", "high"),
    *("p_more", "p_less", "detectable"),
]
_TALLY = [
    *("in_domain", "kind", "n", "mean_effect", "more_than_random", "less_than_random"),
    *("above_unchanged", "below_unchanged"),
]
_OF_ADDITION = [
    *("low", "high", "excess", "excess_low", "excess_high", "n_random", "p_more", "p_less"),
    *("p_question_more", "p_question_less", "p_helps_adjusted", "p_hurts_adjusted", "q_helps"),
    *("accuracy_change", "p_mcnemar", "logprob_change", "detectable", "detectable_excess"),
    *("knowledge", "p_knows"),
    *("blind_effect", "beyond_blind_low", "beyond_blind_high", "verdict"),
]
_ADD, _RANDOM = ConditionKind.ADD.value, ConditionKind.RANDOM.value


def summary(
    effects: pd.DataFrame, homes: Mapping[str, str], unjudged: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Put the effects of a role on a domain into one row, the roles' own domains first.

    Args:
        effects: what `judge` returns.
        homes: role -> its own domain. A role without effects there gets a row that says why.
        unjudged: role -> why it was not judged; by default because no direction was chosen.

    Returns:
        `role, domain, in_domain, n` (questions), `baseline_accuracy, baseline` (mean margin); the
        effects of all tested kinds and pairs side by side; the range of the kinds that have several
        conditions, such as `random_low, random_high`; for the addition the columns of `judge` from
        `low` on; and where additions were learned the interval of their effects, `learned_low,
        learned_high`.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, judge, summary
        >>> labels = pd.DataFrame({"kind": ["none", "add"], "role": [None, "poet"], "detail": None})
        >>> margin = np.array([[0.1] * 30, [0.3, 0.4] * 15])    # baseline, with the addition
        >>> scores = DomainScores("verse", True, labels, margin, margin, correct=margin > 0.35)
        >>> table = summary(judge([scores]), {"poet": "verse", "cook": "food"})
        >>> table[["role", "verdict"]].values.tolist()
        [['cook', 'no direction was chosen'], ['poet', None]]
    """
    wide = effects[effects["kind"].isin(TESTED)].pivot(
        index=_PLACE, columns="kind", values="effect"
    )
    wide = wide.reindex(columns=[kind for kind in TESTED if kind in {_ADD, *wide.columns}])
    # Random ablations are of no role: their range would be the same in all rows of a domain.
    ranged = effects[effects["kind"].isin(RANGED) & effects["role"].notna()]
    several = ranged.groupby([*_PLACE, "kind"])["effect"]
    kinds = [kind for kind in RANGED if kind == _RANDOM or kind in set(ranged["kind"])]
    ranges = [
        several.agg(bound).unstack("kind").reindex(columns=kinds).add_suffix(f"_{name}")
        for bound, name in (("min", "low"), ("max", "high"))
    ]
    columns = ["n", "baseline_accuracy", "baseline"]
    added = effects[effects["kind"] == _ADD].set_index(_PLACE)
    parts = [added[columns], wide, *ranges, added[_OF_ADDITION]]
    best = effects[effects["kind"] == ConditionKind.LEARNED.value].set_index(_PLACE)
    if len(best):
        parts.append(best[["low", "high"]].add_prefix("learned_"))
    table = pd.concat(parts, axis=1).reset_index()
    absent = [
        {
            "role": role,
            "domain": home,
            "in_domain": True,
            "verdict": (unjudged or {}).get(role, "no direction was chosen"),
        }
        for role, home in homes.items()
        if role not in set(table["role"])
    ]
    table = pd.concat([table, pd.DataFrame(absent)]) if absent else table
    order = table.sort_values(["in_domain", "domain", "role"], ascending=[False, True, True])
    return order.reset_index(drop=True)


def pooled(effects: pd.DataFrame) -> pd.DataFrame:
    """Set all roles together against their random directions: overall, and in each domain.

    The roles share their rotations, so that the mean over roles is compared with the mean over
    roles of each rotation. What no role shows alone, all of them together may.

    Args:
        effects: what `judge` returns.

    Returns:
        One row per kind whose random directions are one of each rotation for every role, which
        those of ablations aren't: in the roles' own domains and outside, over all domains
        (`domain` is "all") and in each: `in_domain, kind, domain, n` (roles), `n_random, effect,
        excess, low, high` (90 % interval), `p_more, p_less` (ranks among rotations) and
        `detectable` (the smallest excess that would have been found with 80 % power).

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, judge, pooled
        >>> kinds = ["none", "add", *["random"] * 20]
        >>> labels = pd.DataFrame({"kind": kinds, "role": [None, *["poet"] * 21], "detail": None})
        >>> labels.loc[2:, "detail"] = [str(number) for number in range(20)]
        >>> noise = np.random.default_rng(0).normal(0, 0.1, (22, 40))
        >>> margin = 1 + noise + np.array([0.0, 0.5, *[0.1] * 20])[:, None]
        >>> scores = DomainScores("verse", True, labels, margin, margin, margin > 0)
        >>> pooled(judge([scores], permutations=100))[["domain", "n", "n_random"]].values.tolist()
        [['all', 1, 20], ['verse', 1, 20]]
    """
    rows = []
    has_control = [kind.value for kind in ConditionKind if kind.control is not None]
    own = effects[effects["kind"].isin(has_control) & (effects["n_random"] >= MIN_CONTROLS)]
    own = own[own["judged"].astype(bool)]
    for in_domain in (True, False):
        for kind in has_control:
            family = own[(own["kind"] == kind) & (own["in_domain"] == in_domain)]
            for domain in ("all", *sorted(set(family["domain"]))):
                part = family if domain == "all" else family[family["domain"] == domain]
                if len(part) and not is_shared(controls_of(effects, part.iloc[0])):
                    place = {"in_domain": in_domain, "kind": kind, "domain": domain}
                    rows.append(place | _pool(part, effects))
    return pd.DataFrame(rows, columns=_POOLED)


def _pool(own: pd.DataFrame, effects: pd.DataFrame) -> dict[str, Any]:
    random = by_rotation(controls_of(effects, row) for _, row in own.iterrows())
    found = against_random(own["effect"].to_numpy(), random).pooled
    half = (found.high - found.low) / 2
    quantile = stats.t.ppf(0.95, random.shape[1] - 1)
    return {
        "n": len(own),
        "n_random": random.shape[1],
        "effect": own["effect"].mean(),
        "excess": found.excess,
        "low": found.low,
        "high": found.high,
        "p_more": found.p_more,
        "p_less": found.p_less,
        "detectable": half / quantile * (quantile + stats.norm.ppf(0.8)),
    }


def tally(effects: pd.DataFrame) -> pd.DataFrame:
    """Count the roles with which each kind of condition does more than random, and less.

    Args:
        effects: what `judge` returns.

    Returns:
        One row per kind, in the roles' own domains and outside of them: `in_domain, kind, n` (roles
        and domains), `mean_effect` over them (margins), for kinds with a control `more_than_random,
        less_than_random` (numbers of them, after adjustment), and `above_unchanged,
        below_unchanged`, which alone say little: see `verdict`.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from role_lens.experiments import DomainScores, judge, tally
        >>> labels = pd.DataFrame({"kind": ["none", "add"], "role": [None, "poet"], "detail": None})
        >>> margin = np.array([[0.1] * 30, [0.3, 0.4] * 15])    # baseline, with the addition
        >>> scores = DomainScores("verse", True, labels, margin, margin, correct=margin > 0.35)
        >>> tally(judge([scores]))[["kind", "n", "above_unchanged"]].values.tolist()
        [['add', 1, 1]]
    """
    rows = []
    tested = effects[effects["kind"].isin(TESTED) & effects["judged"].astype(bool)]
    for (in_domain, kind), part in tested.groupby(["in_domain", "kind"]):
        has_control = part["excess"].notna().any()
        more = part["verdict"].str.startswith("more than random").fillna(False)
        less = part["verdict"].str.startswith("less than random").fillna(False)
        rows.append(
            {
                "in_domain": in_domain,
                "kind": kind,
                "n": len(part),
                "mean_effect": part["effect"].mean(),
                "more_than_random": int(more.sum()) if has_control else pd.NA,
                "less_than_random": int(less.sum()) if has_control else pd.NA,
                "above_unchanged": int((part["p_helps_adjusted"] <= LEVEL).sum()),
                "below_unchanged": int((part["p_hurts_adjusted"] <= LEVEL).sum()),
            }
        )
    order = {kind: i for i, kind in enumerate(TESTED)}
    table = pd.DataFrame(rows, columns=_TALLY).astype(
        dict.fromkeys(("more_than_random", "less_than_random"), "Int64")
    )
    table = table.sort_values(
        ["in_domain", "kind"], key=lambda c: c.map(order) if c.name == "kind" else ~c
    )
    return table.reset_index(drop=True)
