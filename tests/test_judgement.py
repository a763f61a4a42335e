import numpy as np
import pandas as pd
import pytest

from role_lens import RoleLensError
from role_lens.experiments import (
    ConditionKind,
    DomainScores,
    Pair,
    judge,
    knowledge,
    measure,
    pooled,
    summary,
    tally,
)
from role_lens.experiments.judging.verdicts import Finding, verdict
from role_lens.statistics import against_random
from role_lens.statistics.paired import mcnemar, sign_flip_test


def scores(domain, in_domain, effects, n=60, seed=0):
    """Scores with a mean change for each (kind, role, detail)."""
    rng = np.random.default_rng(seed)
    names = [("none", None, None), *effects]
    conditions = pd.DataFrame(names, columns=["kind", "role", "detail"]).astype("string")
    margin = rng.normal(0.5, 0.3, n) + np.zeros((len(names), 1))
    for row, effect in enumerate(effects.values(), start=1):
        margin[row] += effect + rng.normal(0, 0.1, n)
    return DomainScores(domain, in_domain, conditions, margin, margin - 2, margin > 0.5)


EFFECTS = {
    ("add", "poet", None): 0.2,
    ("add", "cook", None): 0.0,
    ("persona", "poet", None): -0.2,
    **{("random", "poet", str(i)): 0.0 for i in range(20)},
    **{("random", "cook", str(i)): 0.0 for i in range(20)},
}


def test_effects_and_verdicts():
    one = scores("d", True, EFFECTS)
    table = judge([one], permutations=1000)

    def row(kind, role):
        return table[(table["kind"] == kind) & (table["role"] == role)].iloc[0]

    added = row("add", "poet")
    change = one.margin[1] - one.margin[0]
    assert added["effect"] == pytest.approx(change.mean())
    assert added["sem"] == pytest.approx(change.std(ddof=1) / np.sqrt(60))
    assert added["low"] < added["effect"] < added["high"]
    assert added["p_mcnemar"] == pytest.approx(mcnemar(one.correct[0], one.correct[1]))
    assert added["accuracy_change"] == pytest.approx(one.correct[1].mean() - one.correct[0].mean())
    assert added["verdict"].startswith("more than random by 0.2")
    assert added["verdict"].endswith("and more than the unchanged model")
    assert added["p_more"] == pytest.approx(1 / 21)
    band = table[(table["kind"] == "random") & (table["role"] == "poet")]["effect"]
    assert added["excess"] == pytest.approx(added["effect"] - band.mean())
    nothing = row("add", "cook")
    assert nothing["verdict"].startswith("no more than random: within ± 0.0")
    assert row("persona", "poet")["verdict"] is None  # nothing random stands beside it
    assert row("persona", "poet")["p_hurts_adjusted"] < 0.05
    assert (table["knowledge"].iloc[0], table["p_knows"].iloc[0]) == knowledge(
        one, permutations=1000
    )
    over = row("add_over_persona", "poet")
    change = one.margin[1] - one.margin[3]
    assert over["effect"] == pytest.approx(change.mean())
    assert over["accuracy_change"] == pytest.approx(one.correct[1].mean() - one.correct[3].mean())
    assert over["p_helps_adjusted"] < 0.05
    assert table["kind"].value_counts()["add_over_persona"] == 1  # the cook has no persona prompt
    family = np.stack([one.margin[1] - one.margin[0], one.margin[2] - one.margin[0]])
    expected = sign_flip_test(family, alternative="greater", permutations=1000)
    assert added["p_helps_adjusted"] == expected.p_adjusted[0]
    assert nothing["p_helps_adjusted"] == expected.p_adjusted[1]


def test_untested_effects_are_the_same():
    one = scores("d", True, EFFECTS)
    measured = measure([one])
    judged = judge([one], permutations=100)
    assert list(measured) == list(judged)[: list(judged).index("logprob_change") + 1]
    pd.testing.assert_frame_equal(measured, judged[list(measured)])


def test_families_span_domains_but_not_homes_and_others():
    home = [
        scores(d, True, {("add", r, None): 0.0}, seed=s) for s, (d, r) in enumerate(["ap", "bc"])
    ]
    away = [
        scores(d, False, {("add", r, None): 0.0}, seed=9 + s)
        for s, (d, r) in enumerate(["ac", "bp"])
    ]
    together, alone = judge([*home, *away], permutations=2000), judge(home, permutations=2000)
    pd.testing.assert_frame_equal(together[together["in_domain"]], alone)
    single = judge(home[:1], permutations=2000)
    assert single["p_helps_adjusted"][0] == single["p_helps"][0]
    assert alone["p_helps_adjusted"][0] > single["p_helps_adjusted"][0]


def test_an_unknown_kind_is_refused_and_not_left_untested():
    odd = scores("d", True, {("add", "poet", None): 0.1, ("rotate", "poet", None): 0.1})
    with pytest.raises(RoleLensError, match="unknown kind of condition 'rotate': expected one of"):
        judge([odd], permutations=10)


def test_every_kind_is_reported_in_one_way():
    reports = {kind.report for kind in ConditionKind}
    assert reports == {"reference", "tested", "shown", "ranged"}
    assert [kind for kind in ConditionKind if kind.report == "reference"] == [
        ConditionKind.BASELINE
    ]
    for pair in Pair:  # a pair of kinds that have one condition per role
        assert all(kind.report in ("tested", "shown") for kind in pair.value)


def test_over_questions_it_is_the_role_minus_the_mean_of_its_random_directions():
    one = scores("d", True, {**EFFECTS, **{("add", "cook", None): 0.02}})
    table = judge([one], permutations=1000)
    own = [
        one.margin[row] - one.margin[start : start + 20].mean(axis=0)
        for row, start in ((1, 4), (2, 24))
    ]
    expected = sign_flip_test(np.stack(own), alternative="greater", permutations=1000)
    found = table[table["kind"] == "add"]
    np.testing.assert_array_equal(found["p_question_more"], expected.p_adjusted)


def test_roles_without_enough_random_directions_are_not_judged():
    few = {name: effect for name, effect in EFFECTS.items() if name[2] not in ("18", "19")}
    table = judge([scores("d", True, few)], permutations=100)
    added = table[table["kind"] == "add"]
    assert added["n_random"].tolist() == [18, 18]
    said = "too few random directions to tell: 18, and 19 are needed"
    assert added["verdict"].tolist() == [said] * 2
    assert added["excess"].isna().all()


def test_random_ablations_are_those_of_all_roles():
    kinds = {("ablate_not_first", role, None): 0.0 for role in ("poet", "cook")}
    kinds |= {("random_ablate", None, str(i)): 0.05 for i in range(20)}
    table = judge([scores("d", True, kinds)], permutations=100)
    ablated = table[table["kind"] == "ablate_not_first"]
    assert ablated["n_random"].tolist() == [20, 20]
    random = table[table["kind"] == "random_ablate"]["effect"].to_numpy()
    effects = ablated["effect"].to_numpy()
    found = against_random(effects, np.stack([random] * 2), shared=True)
    np.testing.assert_allclose(ablated["excess"], found.excess)
    np.testing.assert_array_equal(ablated["p_less"], found.p_less_adjusted)
    assert not len(pooled(table))  # a random ablation can't stand for all roles


def test_where_nothing_is_known_nothing_is_judged():
    one = scores("d", True, EFFECTS)
    ignorant = DomainScores("d", True, one.conditions, one.margin - 0.5, one.logprob, one.correct)
    table = judge([ignorant], permutations=1000)
    assert (table[table["kind"] == "add"]["verdict"].str.contains("nothing to judge")).all()
    assert not len(pooled(table))
    assert not len(tally(table))
    table = judge([ignorant], judge_all=True, permutations=1000)
    assert (table[table["kind"] == "add"]["verdict"].str.contains("random")).all()


def test_all_roles_together():
    home = [scores(d, True, EFFECTS, seed=seed) for seed, d in enumerate("de")]
    effects = judge(home, permutations=100)
    table = pooled(effects).set_index(["kind", "domain"])
    every = table.loc[("add", "all")]
    own = effects[effects["kind"] == "add"]
    assert every["n"] == 4
    assert every["effect"] == pytest.approx(own["effect"].mean())
    assert every["low"] < every["excess"] < every["high"]
    assert every["excess"] == pytest.approx(own["excess"].mean())
    assert every["detectable"] > 0
    assert table.loc[("add", "d")]["n"] == 2


def test_a_condition_without_a_spread_is_refused():
    one = scores("d", True, EFFECTS)
    one.margin[1] = np.nan
    with pytest.raises(RoleLensError, match="add of role 'poet', domain 'd': the wrong options"):
        judge([one], permutations=100)


def test_nothing_but_domains_that_are_not_judged():
    effects = judge([])
    assert len(effects) == 0
    table = summary(effects, {"poet": "d"}, {"poet": "nothing to judge"})
    assert table[["role", "domain", "verdict"]].values.tolist() == [
        ["poet", "d", "nothing to judge"]
    ]


def test_summary():
    effects = judge([scores("d", True, EFFECTS), scores("e", False, EFFECTS)], permutations=100)
    table = summary(effects, {"poet": "d", "cook": "d", "king": "e"})
    assert list(table["role"]) == ["cook", "poet", "king", "cook", "poet"]
    assert list(table["in_domain"]) == [True, True, True, False, False]
    poet = table.iloc[1]
    assert poet["add"] == pytest.approx(0.2, abs=0.05)
    assert poet["persona"] == pytest.approx(-0.2, abs=0.05)
    assert table.iloc[2]["verdict"] == "no direction was chosen"
    assert np.isnan(table.iloc[2]["add"])
    random = effects[(effects["kind"] == "random") & effects["in_domain"]]
    band = random.loc[random["role"] == "poet", "effect"]
    assert (poet["random_low"], poet["random_high"]) == (band.min(), band.max())
    assert (poet["n_random"], table.iloc[0]["n_random"]) == (20, 20)
    alone = summary(effects[effects["kind"] != "random"], {"poet": "d", "cook": "d"})
    assert alone["random_low"].isna().all()  # a column that figures rely on
    assert poet["add_over_persona"] == pytest.approx(poet["add"] - poet["persona"])


def test_tally():
    effects = judge([scores("d", True, EFFECTS), scores("e", False, EFFECTS)], permutations=1000)
    table = tally(effects).set_index(["in_domain", "kind"])
    assert list(table.index) == [
        (where, kind) for where in (True, False) for kind in ("persona", "add", "add_over_persona")
    ]
    added = table.loc[(True, "add")]
    assert (added["n"], added["more_than_random"], added["less_than_random"]) == (2, 1, 0)
    assert (added["above_unchanged"], added["below_unchanged"]) == (1, 0)
    assert added["mean_effect"] == pytest.approx(0.1, abs=0.05)
    persona = table.loc[(True, "persona")]
    assert (persona["above_unchanged"], persona["below_unchanged"]) == (0, 1)
    assert persona["more_than_random"] is pd.NA


def test_verdict():
    interval = {"excess": 0.12, "low": 0.03, "high": 0.21}
    more = {"p_more": 0.048, "p_question_more": 0.01}
    less = {"p_less": 0.048, "p_question_less": 0.01}
    assert verdict(Finding(**interval, **more, p_helps=0.01)) == (
        "more than random by 0.12 (0.03 to 0.21), and more than the unchanged model"
    )
    assert verdict(Finding(**interval, **more)) == (
        "more than random by 0.12 (0.03 to 0.21), not more than the unchanged model"
    )
    minus = {"excess": -0.12, "low": -0.21, "high": -0.03}
    assert verdict(Finding(**minus, **less, p_hurts=0.01)) == (
        "less than random by 0.12 (-0.21 to -0.03), and less than the unchanged model"
    )
    for one in more:  # both have to hold
        assert verdict(Finding(**interval, **{**more, one: 0.06})) == (
            "can't be told from random: 0.03 to 0.21"
        )
    near = Finding(excess=0.01, low=-0.05, high=0.07)
    assert verdict(near) == "no more than random: within ± 0.07"
    assert verdict(near, bound=0.06) == "can't be told from random: -0.05 to 0.07"
    assert "nothing to judge" in verdict(Finding(**interval, **more, knows=False))


def test_a_verdict_says_what_share_of_a_learned_addition_it_is():
    near = {"excess": 0.01, "low": -0.05, "high": 0.07, "effect": 0.03}
    learned = Finding(**near, learned=0.3, learned_low=0.1)
    assert verdict(learned) == (
        "no more than random: within ± 0.07; a learned addition no longer than it gains 0.3 over "
        "the unchanged model, and it 0.03 (10% of that)"
    )
    in_vain = Finding(**near, learned=0.3, learned_low=-0.1)
    assert verdict(in_vain).endswith("; a learned addition no longer than it isn't shown to help")
    worse = Finding(**{**near, "effect": -0.1}, learned=0.3, learned_low=0.1)
    assert verdict(worse).endswith("; a learned addition no longer than it gains 0.3")


def test_a_learned_addition_stands_beside_its_role_alone():
    effects = {**EFFECTS, ("learned", "poet", None): 0.4}
    judged = judge([scores("d", True, effects)], permutations=100)
    table = summary(judged, {"poet": "d", "cook": "d"}).set_index("role")
    poet = table.loc["poet"]
    assert poet["learned_low"] < poet["learned"] < poet["learned_high"]
    share = f"({poet['add'] / poet['learned']:.0%} of that)"
    assert share in poet["verdict"]
    assert np.isnan(table.loc["cook", "learned_low"])
    assert "learned" not in table.loc["cook", "verdict"]
