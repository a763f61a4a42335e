import numpy as np
import pandas as pd
import pytest

from role_lens import RoleLensError
from role_lens.experiments import ConditionKind, Pair
from role_lens.experiments.judgement import DomainScores, judge, measure, summary, tally, verdict
from role_lens.statistics.paired import mcnemar, sign_flip_test


def scores(domain, in_domain, effects, n=60, seed=0):
    """Scores with a mean change for each (kind, role, detail)."""
    rng = np.random.default_rng(seed)
    names = [("none", None, None), *effects]
    conditions = pd.DataFrame(names, columns=["kind", "role", "detail"]).astype("string")
    logprob = rng.normal(-1.5, 0.3, n) + np.zeros((len(names), 1))
    for row, effect in enumerate(effects.values(), start=1):
        logprob[row] += effect + rng.normal(0, 0.1, n)
    return DomainScores(domain, in_domain, conditions, logprob, logprob > -1.5)


EFFECTS = {
    ("add", "poet", None): 0.2,
    ("add", "cook", None): 0.0,
    ("persona", "poet", None): -0.2,
    **{("random", "poet", str(i)): 0.0 for i in range(20)},
}


def test_effects_and_verdicts():
    one = scores("d", True, EFFECTS)
    table = judge([one], permutations=1000)

    def row(kind, role):
        return table[(table["kind"] == kind) & (table["role"] == role)].iloc[0]

    added = row("add", "poet")
    change = one.logprob[1] - one.logprob[0]
    assert added["effect"] == pytest.approx(change.mean())
    assert added["sem"] == pytest.approx(change.std(ddof=1) / np.sqrt(60))
    assert added["low"] < added["effect"] < added["high"]
    assert added["p_mcnemar"] == pytest.approx(mcnemar(one.correct[0], one.correct[1]))
    assert added["accuracy_change"] == pytest.approx(one.correct[1].mean() - one.correct[0].mean())
    assert added["verdict"].startswith("helps by 0.2")
    assert added["verdict"].endswith("more than all 20 random directions")
    assert added["p_random"] == pytest.approx(1 / 21)
    nothing = row("add", "cook")
    assert nothing["verdict"].startswith("no detectable effect; the sample could have shown 0.0")
    assert row("persona", "poet")["verdict"].startswith("hurts by 0.2")
    assert np.isnan(nothing["p_random"])  # it has no random directions
    over = row("add_over_persona", "poet")
    change = one.logprob[1] - one.logprob[3]
    assert over["effect"] == pytest.approx(change.mean())
    assert over["accuracy_change"] == pytest.approx(one.correct[1].mean() - one.correct[3].mean())
    assert over["p_helps_adjusted"] < 0.05
    assert table["kind"].value_counts()["add_over_persona"] == 1  # the cook has no persona prompt
    family = np.stack([one.logprob[1] - one.logprob[0], one.logprob[2] - one.logprob[0]])
    expected = sign_flip_test(family, alternative="greater", permutations=1000)
    assert added["p_helps_adjusted"] == expected.p_adjusted[0]
    assert nothing["p_helps_adjusted"] == expected.p_adjusted[1]


def test_untested_effects_are_the_same():
    one = scores("d", True, EFFECTS)
    measured = measure([one])
    judged = judge([one], permutations=100)
    assert list(measured) == list(judged)[: list(judged).index("accuracy_change") + 1]
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
    band = effects.loc[(effects["kind"] == "random") & effects["in_domain"], "effect"]
    assert (poet["random_low"], poet["random_high"]) == (band.min(), band.max())
    assert np.isnan(table.iloc[0]["random_low"])
    assert (poet["n_random"], table.iloc[0]["n_random"]) == (len(band), 0)
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
    assert (added["n"], added["helps"], added["hurts"]) == (2, 1, 0)
    assert (added["above_random"], added["by_chance"]) == (1, pytest.approx(1 / 21))
    assert added["mean_effect"] == pytest.approx(0.1, abs=0.05)
    persona = table.loc[(True, "persona")]
    assert (persona["helps"], persona["hurts"]) == (0, 1)
    assert persona["above_random"] is pd.NA


def test_verdict():
    numbers = {"random": (-0.01, 0.0, 0.02), "detectable": 0.031}
    assert verdict(0.05, p_helps=0.01, p_hurts=1.0, **numbers) == (
        "helps by 0.05, more than all 3 random directions"
    )
    assert verdict(0.05, p_helps=0.01, p_hurts=1.0, detectable=0.031) == "helps by 0.05"
    assert verdict(0.015, p_helps=0.05, p_hurts=1.0, **numbers) == (
        "helps by 0.015, but so does 1 of 3 random directions"
    )
    assert verdict(-0.05, p_helps=1.0, p_hurts=0.001, **numbers) == (
        "hurts by 0.05, more than all 3 random directions"
    )
    assert verdict(-0.005, p_helps=1.0, p_hurts=0.02, **numbers) == (
        "hurts by 0.005, and so does 1 of 3 random directions"
    )
    assert verdict(-0.005, p_helps=1.0, p_hurts=0.02, detectable=0.031, random=(-0.1, -0.2)) == (
        "hurts by 0.005, and so do 2 of 2 random directions"
    )
    assert verdict(0.03, p_helps=0.051, p_hurts=0.9, **numbers) == (
        "no detectable effect; the sample could have shown 0.031"
    )
    assert verdict(0.0, p_helps=1.0, p_hurts=1.0, detectable=0.0) == "changes nothing"
