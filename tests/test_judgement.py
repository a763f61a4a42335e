import numpy as np
import pandas as pd
import pytest

from role_lens.evaluation.judgement import Scores, judge, summary, verdict
from role_lens.evaluation.statistics import mcnemar, sign_flip_test


def scores(domain, in_domain, effects, n=60, seed=0):
    """Scores with a mean change for each (kind, role, detail)."""
    rng = np.random.default_rng(seed)
    names = [("none", None, None), *effects]
    conditions = pd.DataFrame(names, columns=["kind", "role", "detail"]).astype("string")
    logprob = rng.normal(-1.5, 0.3, n) + np.zeros((len(names), 1))
    for row, effect in enumerate(effects.values(), start=1):
        logprob[row] += effect + rng.normal(0, 0.1, n)
    return Scores(domain, in_domain, conditions, logprob, logprob > -1.5)


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
    assert "random" not in added["verdict"]
    nothing = row("add", "cook")
    assert nothing["verdict"].startswith("no detectable effect; the sample could have shown 0.0")
    assert row("persona", "poet")["verdict"].startswith("hurts by 0.2")
    band = table.loc[table["kind"] == "random", "effect"]
    assert (added["random_low"], added["random_high"]) == (band.min(), band.max())
    assert np.isnan(nothing["random_low"])
    family = np.stack([one.logprob[1] - one.logprob[0], one.logprob[2] - one.logprob[0]])
    expected = sign_flip_test(family, alternative="greater", permutations=1000)
    assert added["p_helps_adjusted"] == expected.p_adjusted[0]
    assert nothing["p_helps_adjusted"] == expected.p_adjusted[1]


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


def test_verdict():
    numbers = {"random_low": -0.01, "random_high": 0.02, "detectable": 0.031}
    assert verdict(0.05, p_helps=0.01, p_hurts=1.0, **numbers) == "helps by 0.050"
    assert verdict(0.015, p_helps=0.05, p_hurts=1.0, **numbers) == (
        "helps by 0.015, but a random direction does as much"
    )
    assert verdict(-0.05, p_helps=1.0, p_hurts=0.001, **numbers) == "hurts by 0.050"
    assert verdict(-0.005, p_helps=1.0, p_hurts=0.02, **numbers) == (
        "hurts by 0.005, as a random direction does"
    )
    assert verdict(0.03, p_helps=0.051, p_hurts=0.9, **numbers) == (
        "no detectable effect; the sample could have shown 0.031"
    )
