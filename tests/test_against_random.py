"""Whether roles do more than random directions: by hand, for one role, in families and pooled."""

import numpy as np
import pytest
from scipy import stats

from role_lens import RoleLensError
from role_lens.statistics import against_random


def drawn(seed, roles=8, rotations=20):
    """Effects in which a rotation is as a role, with a part in common."""
    rng = np.random.default_rng(seed)
    effects = 0.6 * rng.normal(size=1 + rotations) + 0.8 * rng.normal(size=(roles, 1 + rotations))
    return effects[:, 0], effects[:, 1:]


def test_one_role_by_hand():
    random = np.random.default_rng(0).normal(size=20)
    found = against_random(np.array([1.5]), random[None])
    error = random.std(ddof=1) * np.sqrt(1 + 1 / 20)
    t = (1.5 - random.mean()) / error
    assert found.excess[0] == pytest.approx(1.5 - random.mean())
    assert found.p_more_alone[0] == pytest.approx(stats.t.sf(t, 19))
    assert found.p_less_alone[0] == pytest.approx(stats.t.cdf(t, 19))
    half = stats.t.ppf(0.95, 19) * error
    assert (found.low[0], found.high[0]) == pytest.approx(
        (found.excess[0] - half, found.excess[0] + half)
    )
    assert found.pooled.excess == pytest.approx(found.excess[0])
    assert found.pooled.p_more == pytest.approx((1 + (random >= 1.5).sum()) / 21)


def test_chance_of_any_role_in_a_family():
    found = [against_random(*drawn(seed)) for seed in range(400)]
    any_more = np.mean([(one.p_more_adjusted <= 0.05).any() for one in found])
    any_less = np.mean([(one.p_less_adjusted <= 0.05).any() for one in found])
    pooled = np.mean([one.pooled.p_more <= 0.05 for one in found])
    for share in (any_more, any_less, pooled):
        assert 0.02 < share < 0.08
    assert 0.03 < np.mean([one.p_more_alone <= 0.05 for one in found]) < 0.07


def test_a_role_that_does_more_is_found():
    effects, random = drawn(1)
    effects[3] = random.max() + 3
    found = against_random(effects, random)
    assert found.p_more_adjusted[3] == pytest.approx(1 / 21)
    assert found.p_more_adjusted.argmin() == 3
    assert found.low[3] > 0
    assert (np.diff(found.p_more_adjusted[np.argsort(-effects)]) >= -1e-12).any()


def test_all_together_show_what_none_shows():
    rng = np.random.default_rng(5)
    random = rng.normal(size=(29, 20))
    found = against_random(rng.normal(0.8, 1, 29), random)
    assert found.pooled.p_more == pytest.approx(1 / 21)
    assert found.pooled.low > 0


def test_missing_rotations():
    effects, random = drawn(2)
    random[0, 5:] = np.nan
    found = against_random(effects, random)
    assert np.isfinite(found.p_more_adjusted).all()
    assert found.excess[0] == pytest.approx(effects[0] - random[0, :5].mean())
    random[0, 2:] = np.nan
    with pytest.raises(RoleLensError, match="at least three random directions"):
        against_random(effects, random)
    with pytest.raises(RoleLensError, match="at least three random directions"):
        against_random(np.empty(0), np.empty((0, 20)))


def test_rotations_that_some_roles_lack_are_no_evidence():
    """Else they would count as rotations under which that role does nothing."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        random = rng.normal(size=(2, 40))
        random[0, 19:] = np.nan
        effects = np.array([rng.normal(), 8.0])  # the other role does much more than random
        found.append(against_random(effects, random).p_more_adjusted[0] <= 0.05)
    assert np.mean(found) < 0.08


def test_random_directions_that_all_roles_share():
    """29 roles in 8 domains, with the same 20 directions for all roles of a domain."""
    rng = np.random.default_rng(4)
    sizes = [3, 5, 2, 3, 5, 6, 4, 1]
    found = []
    for _ in range(400):
        random = np.repeat(rng.normal(size=(8, 20)), sizes, axis=0)
        found.append(against_random(rng.normal(size=29), random, shared=True))
    assert np.mean([(one.p_more_adjusted <= 0.05).any() for one in found]) < 0.08
    assert all(np.isnan(one.pooled.p_more) for one in found)
    # Holm's, by hand.
    one = found[0]
    order = np.argsort(one.p_more_alone)
    assert one.p_more_adjusted[order[0]] == pytest.approx(min(1, 29 * one.p_more_alone[order[0]]))


def test_random_directions_that_all_do_the_same():
    """As those of a cap that is never reached: any other effect is beyond them all."""
    found = against_random(np.array([0.5, 0.0, -0.5]), np.zeros((3, 20)))
    assert found.p_more_adjusted == pytest.approx([1 / 21, 1, 1])
    assert found.p_less_adjusted == pytest.approx([1, 1, 1 / 21])
