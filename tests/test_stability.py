import numpy as np
import pytest
import torch

from role_lens import RoleLensError
from role_lens.reading import (
    bootstrap_cosines,
    held_out_auc,
    leave_one_out,
    stability_by_number,
)


def draw(n, shift, d=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((n, d), generator=generator)
    x[:, 0] += shift
    return x


def test_auc():
    assert held_out_auc(draw(60, 8.0), draw(80, 0.0, seed=1)) > 0.99
    # Without a difference it is chance, though in many dimensions the fitted one is separable.
    nothing = [
        held_out_auc(draw(60, 0.0, d=200, seed=s), draw(80, 0.0, d=200, seed=s + 99))
        for s in range(20)
    ]
    assert np.mean(nothing) == pytest.approx(0.5, abs=0.05)
    # Two normal distributions a distance δ apart along the true direction: Φ(δ/√2).
    assert held_out_auc(draw(3000, 1.0, d=2), draw(3000, 0.0, d=2, seed=1)) == pytest.approx(
        0.760, abs=0.02
    )
    with pytest.raises(RoleLensError, match="5 folds need as many"):
        held_out_auc(draw(4, 0.0), draw(9, 0.0))


def test_stability_grows_with_the_number_of_prompts():
    table = stability_by_number(draw(100, 2.0), draw(100, 0.0, seed=1), [2, 10, 50, 51])
    assert table["n"].tolist() == [2, 10, 50]
    assert table["split_half"].is_monotonic_increasing
    assert ((table["low"] <= table["split_half"]) & (table["split_half"] <= table["high"])).all()
    # Expected cosine: δ² / (δ² + d (1/n + 1/n)).
    expected = 4 / (4 + 20 * 2 / 10)
    assert table["split_half"][1] == pytest.approx(expected, abs=0.12)
    r = table["split_half"]
    np.testing.assert_allclose(table["reliability"], 2 * r / (1 + r))


def test_bootstrap():
    one, other = draw(40, 3.0), draw(50, 0.0, seed=1)
    cosines = bootstrap_cosines(one, other, repeats=300)
    assert cosines.shape == (300,)
    assert 0.5 < float(cosines.mean()) < 1
    assert torch.equal(cosines, bootstrap_cosines(one, other, repeats=300))
    same = torch.ones(5, 3)
    torch.testing.assert_close(bootstrap_cosines(2 * same, same), torch.ones(200))


def test_bootstrap_of_fewer_prompts():
    one, other = draw(40, 1.0), draw(50, 0.0, seed=1)
    means = [float(bootstrap_cosines(one, other, n=n, seed=3).mean()) for n in (2, 8, 32)]
    assert means == sorted(means)
    assert means[2] - means[0] > 0.1
    every = bootstrap_cosines(one, other, seed=3)
    assert torch.equal(bootstrap_cosines(one, other, n=50, seed=3), every)  # as many as there are


def test_leave_one_out_is_exact():
    role, reference = draw(7, 1.0), draw(9, 0.0, seed=1)
    found = leave_one_out(role, reference)
    whole = role.mean(0) - reference.mean(0)
    for i in range(7):
        kept = torch.cat([role[:i], role[i + 1 :]]).mean(0) - reference.mean(0)
        expected = 1 - torch.cosine_similarity(whole, kept, dim=0)
        assert float(found[i]) == pytest.approx(float(expected), abs=1e-6)
    with pytest.raises(RoleLensError, match="at least two prompts"):
        leave_one_out(role[:1], reference)
