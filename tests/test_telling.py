"""Whether texts tell their role, on tables written by hand."""

import pandas as pd
import pytest

from role_lens.judges import improving_and_telling, telling_rates

ROLES = ["nurse", "poet", "cook"]


def test_rates_by_way():
    texts = pd.DataFrame(
        [
            ("a", "nurse", "The nurse and the poet.", 1, True, "nurse"),
            ("a", "poet", "Nothing.", 3, False, None),
            (None, "cook", "Cooks.", 2, True, None),
        ],
        columns=["way", "role", "text", "rank", "named", "judge"],
    )
    table = telling_rates(texts, ["way"], ROLES)
    a, other = table.to_dict("records")
    assert (a["n"], a["hit@1"], a["hit@3"], a["named"], a["judge"]) == (2, 0.5, 1, 0.5, 0.5)
    assert a["others_named"] == 1 / 4  # the poet, of four that the two texts could name
    assert a["chance@1"] == pytest.approx(1 / 3)
    assert pd.isna(other["way"])
    assert (other["n"], other["mean_rank"], other["others_named"]) == (1, 2, 0)
    assert pd.isna(other["judge"])  # nobody was asked
    silent = telling_rates(texts.assign(judge="none"), ["way"], ROLES)
    assert silent["judge"].tolist() == [0, 0]  # it was asked, and named none


def test_improving_beside_telling():
    """Two roles of one domain, each at two layers; the first improves and tells, and at the upper
    layer only by its second text."""
    keys = [("nurse", 1), ("nurse", 2), ("poet", 1), ("poet", 2)]
    effects = pd.DataFrame(
        {
            "role": [role for role, _ in keys],
            "contrast": "base",
            "layer": [layer for _, layer in keys],
            "domain": "all",
            "effect": [0.3, 0.1, -0.1, -0.2],
            "sem": 0.1,
            "accuracy_change": [0.0, 0.0, 0.0, 0.1],
        }
    )
    ranks = {("nurse", 1): (1, 1), ("nurse", 2): (9, 1), ("poet", 1): (2, 9), ("poet", 2): (5, 3)}
    texts = pd.DataFrame(
        [(*key, "base", rank, False) for key, both in ranks.items() for rank in both],
        columns=["role", "layer", "contrast", "rank", "named"],
    )
    # Whatever the order of the rows.
    table = improving_and_telling(texts.iloc[::-1], effects.sample(frac=1, random_state=0))
    table = table.set_index(["improves", "tells"])
    up = table.loc[("effect > 0", "ranked first")]
    assert (up["directions"], up["improving"]) == (4, 2)
    assert (up["tell, of improving"], up["tell, of others"]) == (1, 0)
    assert up["p"] == pytest.approx(0.5, abs=0.02)  # one of two ways to deal two roles out
    assert table.loc[("effect > 2 standard errors", "ranked first")]["improving"] == 1
    accuracy = table.loc[("accuracy rises", "ranked first")]
    assert (accuracy["improving"], accuracy["tell, of improving"]) == (1, 0)
    assert table.loc[("effect > 0", "named")]["p"] == 1


def test_roles_are_dealt_out_among_those_of_their_domain():
    """Those of one domain improve and tell, those of the other do neither: that is the domains'."""
    homes = {"nurse": "care", "cook": "food", "surgeon": "care", "baker": "food"}
    effects = pd.DataFrame({"role": homes, "domain": homes}).assign(role=list(homes))
    good = effects["domain"] == "care"
    effects = effects.assign(contrast="base", layer=1, sem=0.1, accuracy_change=0.0)
    effects["effect"] = good.map({True: 0.3, False: -0.3})
    texts = effects[["role", "contrast", "layer"]].assign(rank=good.map({True: 1, False: 2}))
    texts["named"] = texts["role"].isin(["nurse", "cook"])
    effects.loc[["surgeon", "baker"], "accuracy_change"] = -0.1
    effects.loc[["nurse", "cook"], "accuracy_change"] = 0.1
    table = improving_and_telling(texts, effects).set_index(["improves", "tells"])
    up = table.loc[("effect > 0", "ranked first")]
    assert (up["tell, of improving"], up["tell, of others"], up["p"]) == (1, 0, 1)
    # Within either domain the one that improves accuracy is the one that is named.
    assert table.loc[("accuracy rises", "named")]["p"] == pytest.approx(1 / 4, abs=0.02)
