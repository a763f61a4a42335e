import pytest
import torch

from role_lens import RoleLensError
from role_lens.evaluation.controls import (
    persona_prompts,
    random_directions,
    shared_and_specific,
    shuffled_directions,
)


def test_random_directions():
    directions = random_directions(300, 50)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(50))
    cosines = directions @ directions.T - torch.eye(50)
    assert cosines.abs().max() < 0.35  # six standard deviations
    assert torch.equal(directions, random_directions(300, 50))
    assert not torch.equal(directions, random_directions(300, 50, seed=1))


def test_shared_and_specific():
    direction, shared = torch.randn(2, 16)
    part, rest = shared_and_specific(direction, shared)
    torch.testing.assert_close(part + rest, direction)
    assert abs(float(rest @ shared)) < 1e-5
    assert torch.cosine_similarity(part, shared, dim=0).abs() == pytest.approx(1)
    with pytest.raises(RoleLensError, match="no shared part"):
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
    assert persona_prompts("nurse")[0] == "You are a nurse."
    assert len(set(prompts)) == 6
    assert all("economist" in prompt for prompt in prompts)
