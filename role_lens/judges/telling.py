"""Counts how often texts tell the role that they were written under, and tests whether directions
that improve the answers tell it more often.

    telling_rates(texts, by=["layer"], roles=vectors.roles)
"""

import itertools
from collections.abc import Sequence

import pandas as pd

from role_lens.judges.likelihood import hit_rates, share_naming_others
from role_lens.statistics.associations import association

_KEYS = ["role", "contrast", "layer"]


def telling_rates(texts: pd.DataFrame, by: Sequence[str], roles: Sequence[str]) -> pd.DataFrame:
    """How often texts tell their role, for each way of writing them.

    Args:
        texts: `role, text, rank` (of the own role, see `role_judge`), `named` (whether the text
            has its name), and perhaps `judge`, the role that another judge named; `none` where
            it named none, NaN where it wasn't asked.
        by: columns that tell the ways apart.
        roles: that the ranks are among.

    Returns:
        One row per way: `n` (texts), the columns of `hit_rates`, `named`, `others_named` (how
        often a text has the name of another role, mean over them), `judge`.
    """
    rows = []
    for way, part in texts.groupby(list(by), sort=False, dropna=False):
        found: dict[str, object] = dict(zip(by, way, strict=True))
        found |= {"n": len(part), **hit_rates(part["rank"].to_numpy(), len(roles))}
        found["named"] = part["named"].mean()
        found["others_named"] = share_naming_others(
            part["text"].tolist(), part["role"].tolist(), roles
        )
        if "judge" in part and part["judge"].notna().any():
            found["judge"] = (part["judge"] == part["role"]).mean()
        rows.append(found)
    return pd.DataFrame(rows)


def improving_and_telling(
    texts: pd.DataFrame, effects: pd.DataFrame, *, seed: int = 0
) -> pd.DataFrame:
    """Do directions that improve the answers tell their role more often than others?

    A direction improves if its effect is above zero, or by two standard errors, or if accuracy
    rises. It tells its role if any of its texts does.

    Args:
        texts: as for `telling_rates`, with `contrast` and `layer`; `judge` for all or none.
        effects: of `sweep`, of the same roles, contrasts and layers, with `domain`.
        seed: of `association`.

    Returns:
        One row per way of improving and of telling: how many directions there are and improve, the
        shares that tell, and p of `association`, one-sided, of this row alone, roles dealt out
        among those of their domain.
    """
    told = {"ranked first": texts["rank"] == 1, "named": texts["named"]}
    if "judge" in texts:
        told["judge"] = texts["judge"] == texts["role"]
    places = [texts[key] for key in _KEYS]
    tells = pd.DataFrame({name: one.groupby(places).any() for name, one in told.items()})
    homes = effects.drop_duplicates("role").set_index("role")["domain"]
    domains = homes.loc[tells.index.unique("role")].tolist()
    effects = effects.set_index(_KEYS).loc[tells.index]
    improves = {
        "effect > 0": effects["effect"] > 0,
        "effect > 2 standard errors": effects["effect"] > 2 * effects["sem"],
        "accuracy rises": effects["accuracy_change"] > 0,
    }
    rows = []
    for (what, better), name in itertools.product(improves.items(), tells.columns):
        first, second = (
            one.unstack(["contrast", "layer"]).to_numpy(dtype=bool) for one in (better, tells[name])
        )
        found = association(first, second, domains, seed=seed)
        rows.append(
            {
                "improves": what,
                "tells": name,
                "directions": len(tells),
                "improving": int(better.sum()),
                "tell, of improving": found.share_if,
                "tell, of others": found.share_if_not,
                "p": found.p,
            }
        )
    return pd.DataFrame(rows)
