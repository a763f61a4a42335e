"""Counts how often texts tell their role, as role judges find it.

    telling_rates(texts, by=["layer"], roles=vectors.roles)
    improving_and_telling(texts, effects)

A text's role is the one whose direction or persona prompt it was written under. A text tells its
role if a role judge ranks that role first, if it contains the role's name, or if another role judge
names it. The second function tests whether directions that improve the answers to questions tell
their role more often than others do.
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
        texts: one row per text: `role`, the own one; `text`; `rank` of the own role, see
            `own_ranks`; `named`, whether the text contains its name, see `names_role`; and perhaps
            `judge`, the role that another role judge named ("none" if it named none, NaN if it
            wasn't asked).
        by: columns that tell the ways apart.
        roles: all names that the ranks are among.

    Returns:
        One row per way: the columns of `by`; `n` (texts); those of `hit_rates`; `named`, the share
        of texts that contain their role's name; `others_named`, how often a text contains another
        role's name, see `share_naming_others`; and `judge`, the share whose own role was named, if
        there is such a column.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.judges import telling_rates
        >>> columns = ["layer", "role", "text", "rank", "named"]
        >>> rows = [(1, "poet", "Verse.", 1, False), (1, "cook", "A cook stirs.", 2, True)]
        >>> table = telling_rates(pd.DataFrame(rows, columns=columns), ["layer"], ["poet", "cook"])
        >>> table[["layer", "n", "hit@1", "chance@1", "named", "others_named"]]
           layer  n  hit@1  chance@1  named  others_named
        0      1  2    0.5       0.5    0.5           0.0
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
    """Do directions that improve the answers to questions tell their role more often than others?

    A direction improves the answers if its effect is above zero, or above two standard errors, or
    if accuracy rises: each is a way of its own. It tells its role if any of its texts does. The
    test deals the roles out anew among those of their domain, because roles of one domain share
    questions, and neighbouring layers of one role are alike.

    Args:
        texts: as for `telling_rates`, with the columns `contrast` and `layer` of the direction;
            `judge` for all texts or for none.
        effects: what `sweep` returns for the same roles, contrasts and layers, without the
            baseline, and with the column `domain`.
        seed: of the permutations.

    Returns:
        One row per way of improving and way of telling: `improves, tells`, the numbers of
        `directions` and of those that are `improving`, the shares `tell, of improving` and
        `tell, of others`, and `p`, one-sided, of this row alone; see
        `role_lens.statistics.association`.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.judges import improving_and_telling
        >>> place = {"role": ["poet", "cook"], "contrast": "base", "layer": 1}
        >>> texts = pd.DataFrame({**place, "rank": [1, 2], "named": [False, True]})
        >>> effects = pd.DataFrame({**place, "domain": "all", "effect": [0.2, -0.1], "sem": 0.05})
        >>> effects["accuracy_change"] = [0.1, 0.0]
        >>> improving_and_telling(texts, effects).iloc[:2, [0, 1, 3, 4, 5]]
             improves         tells  improving  tell, of improving  tell, of others
        0  effect > 0  ranked first          1                 1.0              0.0
        1  effect > 0         named          1                 0.0              1.0
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
