"""The whole procedure on worlds whose truth is known: 5 % where there is nothing, and power."""

import numpy as np
import pytest

from role_lens import RoleLensError
from role_lens.experiments import World, declared

pytestmark = pytest.mark.long
SMALL = {"n_roles": 6, "n_candidates": 4}


@pytest.mark.parametrize(
    "options", [{}, {"n_test": 20, "n_validation": 20}, {"n_options": None}, {"n_options": 2}]
)
def test_without_an_effect_families_are_declared_at_the_stated_level(options):
    found = declared(World(**SMALL, **options), 150, permutations=300)
    assert found.any_more <= 0.09
    assert found.any_less <= 0.09
    assert 0.02 <= found.above <= 0.09
    assert 0.02 <= found.below <= 0.09
    assert found.any_more_interval[0] <= found.any_more <= found.any_more_interval[1]


def test_planted_effects_are_found():
    found = [declared(World(**SMALL, effect=e), 40, permutations=300) for e in (0.0, 0.05, 0.2)]
    assert found[0].more < 0.05
    assert found[0].more <= found[1].more < found[2].more
    assert found[2].more > 0.9
    assert found[2].pooled_more == 1
    assert found[2].any_less == 0


def test_the_same_seed_gives_the_same():
    first, second = (declared(World(**SMALL), 5, permutations=100, seed=3) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_test": 4}, "n_test must be at least 8"),
        ({"n_random": 2}, "n_random must be at least 3"),
        ({"temperature": 0.5}, "temperature must be at least 1"),
    ],
)
def test_worlds_that_can_not_be(options, message):
    with pytest.raises(RoleLensError, match=message):
        World(**options)


def test_no_families():
    with pytest.raises(RoleLensError, match="families must be at least 1"):
        declared(World(), 0)
    assert np.isfinite(declared(World(**SMALL), 1, permutations=50).above)
