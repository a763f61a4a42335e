import itertools

import numpy as np
import pytest
from scipy import stats

from role_lens import RoleLensError
from role_lens.statistics import (
    association,
    bootstrap_interval,
    mcnemar,
    q_values,
    sign_flip_test,
    smallest_detectable,
)


def some_changes(candidates, questions, shift=0.0, seed=0):
    """Heavy-tailed, and correlated among candidates, as changes of log p are."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_t(3, size=questions)
    return shift + 0.7 * shared + rng.standard_t(3, size=(candidates, questions))


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_against_brute_force(alternative):
    """Step-down by its definition, on t statistics, over all patterns of signs."""
    changes = some_changes(4, 7, shift=0.8)
    turn = {"greater": lambda t: t, "less": lambda t: -t, "two-sided": abs}[alternative]

    def t(x):
        return np.array([turn(stats.ttest_1samp(row, 0).statistic) for row in x])

    observed = t(changes)
    patterns = [t(changes * signs) for signs in itertools.product([1, -1], repeat=7)]
    test = sign_flip_test(changes, alternative=alternative)
    np.testing.assert_allclose(test.p, np.mean(np.array(patterns) >= observed - 1e-6, axis=0))
    best_first = np.argsort(-observed)
    adjusted, largest = np.empty(4), 0.0
    for rank, candidate in enumerate(best_first):
        rest = best_first[rank:]
        share = np.mean([p[rest].max() >= observed[candidate] - 1e-6 for p in patterns])
        largest = adjusted[candidate] = max(largest, share)
    np.testing.assert_allclose(test.p_adjusted, adjusted)
    # z and t are functions of each other.
    critical = np.quantile([p.max() for p in patterns], 0.95)
    assert test.critical == pytest.approx(critical / np.sqrt((6 + critical**2) / 7), rel=0.05)


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
@pytest.mark.parametrize("questions", [9, 60])
def test_one_candidate_against_scipy(alternative, questions):
    change = some_changes(1, questions, shift=0.3)
    expected = stats.permutation_test(
        (change[0],),
        np.mean,
        permutation_type="samples",
        alternative=alternative,
        n_resamples=10_000,
        rng=np.random.default_rng(1),
    ).pvalue
    test = sign_flip_test(change, alternative=alternative)
    assert test.p[0] == test.p_adjusted[0]
    assert test.p[0] == pytest.approx(expected, abs=1e-9 if questions == 9 else 0.02)


@pytest.mark.long
def test_false_rejections_among_many_candidates_are_rare():
    rejected = [
        sign_flip_test(some_changes(30, 40, seed=seed), permutations=400).p_adjusted.min() <= 0.05
        for seed in range(400)
    ]
    assert 0.02 < np.mean(rejected) < 0.08
    unadjusted = [
        sign_flip_test(some_changes(30, 40, seed=seed), permutations=400).p.min() <= 0.05
        for seed in range(50)
    ]
    assert np.mean(unadjusted) > 0.3


def test_adjusting_keeps_what_is_large():
    changes = some_changes(200, 100, seed=3)
    changes[17] += 2
    test = sign_flip_test(changes)
    assert test.p_adjusted.argmin() == 17
    assert test.p_adjusted[17] < 0.001
    assert (test.p_adjusted >= test.p).all()


def test_pieces_and_order_make_no_difference(monkeypatch):
    changes = some_changes(9, 30, shift=0.1)
    whole = sign_flip_test(changes, permutations=2000)
    turned = sign_flip_test(changes[::-1], permutations=2000)
    np.testing.assert_array_equal(turned.p_adjusted[::-1], whole.p_adjusted)
    # So that a small case is computed in pieces.
    monkeypatch.setattr("role_lens.statistics.paired._CHUNK", 100)
    pieces = sign_flip_test(changes, permutations=2000)
    np.testing.assert_array_equal(pieces.p_adjusted, whole.p_adjusted)


def test_no_change_at_all_is_no_effect():
    test = sign_flip_test(np.stack([np.zeros(30), some_changes(1, 30)[0] + 3]))
    assert test.p[0] == test.p_adjusted[0] == 1
    assert test.p[1] < 0.01


@pytest.mark.parametrize(
    "changes",
    [
        np.zeros((0, 5)),
        np.full((1, 5), np.nan),
        np.full((1, 5), np.inf),
        np.stack([np.ones(5), np.full(5, np.nan)]),
    ],
)
def test_refused(changes):
    with pytest.raises(RoleLensError, match="expected finite changes"):
        sign_flip_test(changes)


def test_questions_that_were_not_asked_do_not_count():
    """Roles are tested on the questions of their own domains."""
    asked = some_changes(2, 30, shift=0.3)
    apart = np.full((2, 60), np.nan)
    apart[0, :30], apart[1, 30:] = asked
    together, alone = sign_flip_test(apart), [sign_flip_test(row[None]) for row in asked]
    for candidate in range(2):
        assert together.p[candidate] == pytest.approx(alone[candidate].p[0], abs=0.02)
        assert together.p_adjusted[candidate] >= together.p[candidate]


def test_q_values():
    np.testing.assert_allclose(
        q_values(np.array([0.01, 0.04, 0.03, 0.5])), [0.04, 0.16 / 3, 0.16 / 3, 0.5]
    )


def test_mcnemar():
    before = np.array([True] * 12 + [False] * 18)
    after = np.array([True] * 11 + [False] * 1 + [True] * 9 + [False] * 9)
    assert mcnemar(before, after) == pytest.approx(2 * (1 + 10) / 2**10)  # 1 lost, 9 gained
    assert mcnemar(before, before) == 1.0


def test_bootstrap_interval_covers_the_mean():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        low, high = bootstrap_interval(rng.exponential(size=60), level=0.95)
        inside.append(low < 1 < high)
    assert 0.89 < np.mean(inside) < 0.99
    assert bootstrap_interval(np.full(20, 0.25)) == (0.25, 0.25)


@pytest.mark.long
def test_smallest_detectable_is_found_with_the_stated_power():
    rng = np.random.default_rng(0)
    sample = rng.normal(size=4000)
    effect = smallest_detectable(sample[:50] / sample[:50].std(ddof=1))
    t = [stats.ttest_1samp(rng.normal(effect, 1, 50), 0).statistic for _ in range(2000)]
    assert np.mean(np.array(t) > stats.t.ppf(0.95, 49)) == pytest.approx(0.8, abs=0.03)


@pytest.mark.long
def test_association_within_groups():
    """Dealing out whole groups: against all permutations of a small case, by hand."""
    first = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 1]], dtype=bool)
    second = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=bool)
    found = association(first, second, ["all"] * 4, permutations=20_000)
    assert found.share_if == pytest.approx(4 / 5)
    assert found.share_if_not == pytest.approx(1 / 7)
    both = [
        sum((first[i] & second[j]).sum() for i, j in enumerate(order))
        for order in itertools.permutations(range(4))
    ]
    exact = np.mean([n >= both[0] for n in both])
    assert found.p == pytest.approx(exact, abs=0.01)
    within = [
        sum((first[i] & second[j]).sum() for i, j in enumerate(order)) >= both[0]
        for order in [(0, 1, 2, 3), (2, 1, 0, 3), (0, 3, 2, 1), (2, 3, 0, 1)]
    ]
    found = association(first, second, ["a", "b", "a", "b"], permutations=20_000)
    assert found.p == pytest.approx(np.mean(within), abs=0.01)


def test_association_of_strata_is_none():
    """Groups of one stratum are alike in both: that is no association of groups."""
    same = np.repeat([True, False], 4)[:, None] & np.ones((8, 3), dtype=bool)
    assert association(same, same, ["a"] * 8, permutations=2_000).p < 0.05
    assert association(same, same, ["a"] * 4 + ["b"] * 4, permutations=100).p == 1


def test_association_of_cells_alone_is_none():
    """That some cells have both in all groups alike is no association of groups."""
    same = np.tile([True, False, False], (5, 1))
    assert association(same, same, ["all"] * 5, permutations=100).p == 1
    nothing = association(np.zeros((3, 2), dtype=bool), np.ones((3, 2), dtype=bool), ["all"] * 3)
    assert np.isnan(nothing.share_if)
    assert (nothing.share_if_not, nothing.p) == (1, 1)
