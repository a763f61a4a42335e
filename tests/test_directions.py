import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from role_lens import RoleLensError
from role_lens.directions import (
    cosine_similarity,
    d_prime,
    difference_of_means,
    mean_cosine,
    principal_components,
    shared_share,
    unit,
)


@st.composite
def means(draw):
    shape = draw(st.tuples(st.integers(2, 5), st.integers(1, 3), st.integers(2, 8)))
    seed = draw(st.integers(0, 2**31))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=50)
@given(means())
def test_roles_contrast_against_numpy(roles):
    base = torch.zeros_like(roles[0])
    found = difference_of_means(roles, base, "roles").numpy()
    for r in range(roles.shape[0]):
        expected = roles.numpy()[r] - np.delete(roles.numpy(), r, axis=0).mean(axis=0)
        np.testing.assert_allclose(found[r], expected, atol=1e-12)
    # What is common to all roles cancels.
    shifted = difference_of_means(roles + 3.0, base, "roles").numpy()
    np.testing.assert_allclose(shifted, found, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(means())
def test_base_contrast_is_role_minus_base(roles):
    base = roles.mean(dim=0)
    found = difference_of_means(roles, base, "base")
    torch.testing.assert_close(found + base, roles)


@settings(deadline=None, max_examples=50)
@given(means())
def test_unit_and_cosines(roles):
    torch.testing.assert_close(unit(roles).norm(dim=-1), torch.ones(roles.shape[:-1]).double())
    cosines = cosine_similarity(roles)
    torch.testing.assert_close(
        cosines[0],
        torch.cosine_similarity(roles[:, None, 0], roles[None, :, 0], dim=-1),
    )
    off = cosines[0][~torch.eye(len(roles), dtype=torch.bool)]
    torch.testing.assert_close(mean_cosine(roles)[0], off.mean())


def test_unknown_contrast_and_single_role():
    one = torch.ones(1, 4)
    with pytest.raises(RoleLensError, match=r"contrast must be one of .*'base', 'roles'.*'other'"):
        difference_of_means(one, one[0], "other")
    with pytest.raises(RoleLensError, match="at least two roles"):
        difference_of_means(one, one[0], "roles")


@pytest.mark.parametrize(
    ("value", "message"), [(0.0, "zero"), (float("nan"), "NaN"), (float("inf"), "infinite")]
)
def test_unit_refuses(value, message):
    with pytest.raises(RoleLensError, match=message):
        unit(torch.full((4,), value))


def test_cosine_of_a_zero_direction_is_nan():
    directions = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert torch.isnan(cosine_similarity(directions)[0, 1])


def test_d_prime():
    zero, one = torch.zeros(1), torch.ones(1)
    torch.testing.assert_close(d_prime(2 * one, one, zero, one), 2 * one)
    torch.testing.assert_close(d_prime(zero, 3 * one, one, one), -one / 2**0.5)


def test_what_all_roles_share_cancels_to_zero():
    shared = torch.randn(1, 16).expand(5, 16)
    assert (difference_of_means(shared, shared[0], "roles") == 0).all()


def test_shared_share():
    mean = torch.tensor([3.0, 0.0, 0.0])
    directions = mean + torch.tensor([[0.0, 4.0, 0.0], [0.0, -4.0, 0.0]])
    torch.testing.assert_close(shared_share(directions), torch.tensor([0.36, 0.36]))
    torch.testing.assert_close(shared_share(mean.expand(3, 3)), torch.ones(3))
    rest = torch.stack([directions, directions * 2], dim=1)
    torch.testing.assert_close(shared_share(rest), torch.full((2, 2), 0.36))


def test_principal_components():
    generator = torch.Generator().manual_seed(0)
    line = torch.randn(30, 1, generator=generator) * torch.tensor([[3.0, 4.0, 0.0]])
    noise = 0.01 * torch.randn(30, 3, generator=generator)
    coordinates, explained = principal_components(line + noise + 7.0, 2)
    assert float(explained[0]) > 0.999
    expected = (line - line.mean(0)) @ torch.tensor([0.6, 0.8, 0.0])
    sign = torch.sign(expected[expected.abs().argmax()])
    torch.testing.assert_close(coordinates[:, 0], sign * expected, atol=0.1, rtol=0)
    assert float(coordinates[coordinates.abs().argmax(dim=0)[1], 1]) > 0
    with pytest.raises(RoleLensError, match=r"n must be 1 to 3 for directions of shape .*, got 4"):
        principal_components(line, 4)
