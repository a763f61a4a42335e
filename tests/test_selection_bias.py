"""The best of many candidates, on the questions that chose it and on others."""

import itertools

import numpy as np
import pytest

from role_lens.statistics import best_of_many


def test_against_all_halves_of_a_small_case():
    """By hand, over all 20 halves of 6 questions; no two candidates tie on any half."""
    changes = np.random.default_rng(0).normal(size=(3, 6))
    left = []
    for half in itertools.combinations(range(6), 3):
        other = [i for i in range(6) if i not in half]
        best = changes[:, list(half)].mean(axis=1).argmax()
        left.append(changes[best, other].mean())
    found = best_of_many(changes, halves=20_000)
    assert found.held_out == pytest.approx(np.mean(left), abs=0.02)
    assert min(left) - 1e-9 <= found.low < np.median(left) < found.high <= max(left) + 1e-9
    assert found.apparent == changes.mean(axis=1).max()


def test_without_effects_nothing_is_left():
    """Noise: what looks large on the questions that chose it is zero on others, on average."""
    rng = np.random.default_rng(1)
    found = [best_of_many(rng.normal(size=(60, 40)), halves=50) for _ in range(60)]
    assert np.mean([one.apparent for one in found]) > 0.3
    assert abs(np.mean([one.held_out for one in found])) < 0.04


def test_an_effect_is_left():
    changes = np.random.default_rng(2).normal(size=(20, 200))
    changes[7] += 1.0
    found = best_of_many(changes)
    assert found.apparent == changes[7].mean()
    assert found.held_out == pytest.approx(changes[7].mean(), abs=0.02)


def test_equals_take_turns():
    """Where candidates tie on the half that chooses, neither order nor the other half decides."""
    changes = np.array([[0.0, 0, 0, 1], [0, 0, 1, 0], [-1, -1, -1, -1]])
    found = best_of_many(changes, halves=20_000)
    # {0, 1} leaves 1/2 either way; every other half leaves nothing.
    assert found.held_out == pytest.approx(0.5 / 6, abs=0.005)


def test_of_equals_the_one_with_the_larger_mean_of_another_score():
    """By hand over the six halves: on {0, 1}, {0, 2} and {1, 2} they tie, and leave 0, 0 and 1/2 or
    1/2, 1/2 and 1; on the others the second is the best, and leaves 0, 1/2 and 1/2."""
    changes = np.array([[1.0, 0, 0, 0], [1, 0, 0, 1]])
    for scores, left in (([1.0, 0.0], 1.5 / 6), ([0.0, 1.0], 3 / 6), (None, 2.25 / 6)):
        ties = None if scores is None else np.repeat(np.array(scores)[:, None], 4, axis=1)
        found = best_of_many(changes, ties, halves=20_000)
        assert found.held_out == pytest.approx(left, abs=0.01)


def test_the_best_on_one_half_may_be_the_worst_on_the_other():
    found = best_of_many(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert (found.apparent, found.held_out) == (0, -1)
