import itertools

import pytest
import torch
from tiny import QUIET, tiny_bridge

from role_lens import RoleLensError, RoleVectors, persona_prompts
from role_lens.experiments.controls.control_directions import (
    rotated,
    rotation,
    shared_and_specific,
    shuffled_directions,
)

ROLES = {"poet": ["Rhyme?", "Ode!", "Scan this."], "cook": ["Salt?", "Stew!", "Boil this now."]}


def test_a_rotation_keeps_lengths_and_angles():
    vectors = RoleVectors.fit(tiny_bridge("llama"), ROLES, ["Tea?", "So it goes."], compute=QUIET)
    turned = rotated(vectors)
    assert torch.equal(rotated(vectors).role_means, turned.role_means)
    assert not torch.equal(rotated(vectors, seed=1).role_means, turned.role_means)
    assert torch.equal(turned.base_mean, vectors.base_mean)
    for contrast in ("base", "roles"):
        before, after = (
            one.directions(contrast)[:, :, 1:].flatten(end_dim=-2) for one in (vectors, turned)
        )
        torch.testing.assert_close(after @ after.T, before @ before.T, rtol=1e-4, atol=1e-4)
        assert not turned.directions(contrast)[:, :, 0].any()  # zero stays zero


def test_rotations_of_a_seed():
    vectors = RoleVectors.fit(tiny_bridge("llama"), ROLES, ["Tea?", "So it goes."], compute=QUIET)
    for number in (0, 1, 25):  # of the default seed: those of the published results
        expected = rotated(vectors, seed=number).role_means
        assert torch.equal(rotation(vectors, 0, number).role_means, expected)
    pairs = [(seed, number) for seed in (0, 1, 2, 20, 2**70) for number in (0, 1, 20, 40)]
    means = [rotation(vectors, *pair).role_means for pair in pairs]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(means, 2))


@pytest.mark.long
def test_rotations_are_uniform():
    """Their diagonal is zero on average; of a QR factor as it comes it isn't."""
    vectors = RoleVectors.fit(tiny_bridge("llama"), ROLES, ["Tea?", "So it goes."], compute=QUIET)
    direction = vectors.directions("base")[0, -1, 1]
    cosines = [
        torch.cosine_similarity(
            rotated(vectors, seed=s).directions("base")[0, -1, 1], direction, dim=0
        )
        for s in range(1500)
    ]
    # Of a random direction in 32 dimensions: standard deviation 1/sqrt(32).
    assert abs(float(torch.stack(cosines).mean())) < 4 / (32 * 1500) ** 0.5


def test_shared_and_specific():
    direction, shared = torch.randn(2, 16)
    part, rest = shared_and_specific(direction, shared)
    torch.testing.assert_close(part + rest, direction)
    assert abs(float(rest @ shared)) < 1e-5
    assert torch.cosine_similarity(part, shared, dim=0).abs() == pytest.approx(1)
    with pytest.raises(RoleLensError, match="the direction is zero"):
        shared_and_specific(direction, torch.zeros(16))


def test_shuffled_labels_carry_no_role():
    generator = torch.Generator().manual_seed(0)
    role = torch.randn((60, 8), generator=generator)
    role[:, 0] += 5
    base = torch.randn((90, 8), generator=generator)
    shuffled = shuffled_directions(role, base, 200)
    assert (role.mean(0) - base.mean(0))[0] > 4
    assert shuffled[:, 0].mean().abs() < 0.1  # of standard deviation 2.65 / sqrt(36) / sqrt(200)
    # All prompts in each of them, and the same ones: their weighted means are the whole's.
    a = shuffled_directions(role, base, 1)
    assert torch.equal(a, shuffled[:1])
    same = torch.ones(7, 3)
    assert torch.equal(shuffled_directions(same, same, 2), torch.zeros(2, 3))


def test_persona_prompts():
    prompts = persona_prompts("economist")
    assert prompts[0] == "You are an economist."
    assert persona_prompts("university teacher")[0] == "You are a university teacher."
    assert persona_prompts(" nurse ")[0] == "You are a nurse."
    assert persona_prompts("heir to a throne")[0] == "You are an heir to a throne."
    assert len(set(prompts)) == 6
    assert all("economist" in prompt for prompt in prompts)
