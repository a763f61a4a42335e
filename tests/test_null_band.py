import pandas as pd
import pytest
import torch
from tiny import QUIET

from role_lens import Grid, Patch, Question, evaluate
from role_lens.experiments import null_band
from role_lens.experiments.controls import rotated
from role_lens.experiments.null_band import choose_random
from role_lens.scoring.divergence import answer_logprobs, mean_kl

QUESTIONS = [
    Question(f"q{i}", f"Which one is {i}?", ("a", "bc", "def"), i % 3, "s", "d") for i in range(8)
]
NEUTRAL = ["Hello?", "Say something."]
SMALL = 0.05  # a coefficient at which first-order estimates are nearly exact


def run(llama, vectors, out, n=3, coefficients=(SMALL,), **options):
    options = {"max_kl": None, "leave_out_last": None, "seed": 0, "neutral": NEUTRAL, **options}
    options = {"most_tries": None, **options}
    grid = Grid(contrasts=("base", "roles"), coefficients=coefficients)
    return choose_random(llama, vectors, QUESTIONS, out, grid, n, compute=QUIET, **options)


def candidates(turned, role):
    """Every addition that a role of rotated vectors gives."""
    for contrast in ("base", "roles"):
        for position in turned.positions:
            for layer in range(1, turned.n_layers):
                yield turned.add(
                    role, layer=layer, position=position, contrast=contrast, coefficient=SMALL
                )


def effects(llama, patches):
    """Exact effects of patches."""
    named = {"none": None, **{str(i): patch for i, patch in enumerate(patches)}}
    scores = evaluate(llama, QUESTIONS, named, compute=QUIET)
    means = scores.groupby("patch")["logprob_correct"].mean()
    return [float(means[str(i)] - means["none"]) for i in range(len(patches))]


def test_the_best_of_all_rotated_candidates_is_chosen(llama, vectors, tmp_path):
    chosen = run(llama, vectors, tmp_path)
    assert [(one.role, one.number) for one in chosen] == [
        (role, number) for number in range(3) for role in ("poet", "cook")
    ]
    for one in chosen[:4]:
        tried = list(candidates(rotated(vectors, seed=one.number), one.role))
        exact = effects(llama, tried)
        assert effects(llama, [one.patch])[0] == pytest.approx(max(exact), rel=0.1, abs=1e-5)
        assert any(
            torch.equal(patch.direction, one.direction) and patch.layers == (one.layer,)
            for patch in tried
        )


def test_guards(llama, vectors, tmp_path):
    assert {one.layer for one in run(llama, vectors, tmp_path, leave_out_last=0.5)} == {1}
    before = answer_logprobs(llama, NEUTRAL)

    def kl(patch: Patch) -> float:
        return mean_kl(before, answer_logprobs(llama, NEUTRAL, patch))

    free = run(llama, vectors, tmp_path)
    limit = min(kl(one.patch) for one in free) * 0.99
    within = run(llama, vectors, tmp_path, max_kl=limit)
    assert within
    assert all(kl(one.patch) <= limit * 1.001 for one in within)
    assert not run(llama, vectors, tmp_path, max_kl=-1.0)
    few = run(llama, vectors, tmp_path, max_kl=limit, most_tries=1)
    assert {(one.role, one.number) for one in few} < {(one.role, one.number) for one in within}


def test_tried_are_directions_at_all_coefficients(llama, vectors, tmp_path):
    """Where the largest coefficients are beyond the limit a smaller one is taken, as for a role."""
    before = answer_logprobs(llama, NEUTRAL)
    alone = run(llama, vectors, tmp_path, most_tries=1)
    largest = max(mean_kl(before, answer_logprobs(llama, NEUTRAL, one.patch)) for one in alone)
    options = {"most_tries": 1, "max_kl": 1.01 * largest}
    sizes = (SMALL, 100 * SMALL, 1000 * SMALL)
    chosen = run(llama, vectors, tmp_path, coefficients=sizes, **options)
    for one, other in zip(chosen, alone, strict=True):
        assert torch.equal(one.direction, other.direction)
        assert one.coefficient == SMALL


def test_kept_for_the_next_run(llama, vectors, tmp_path, monkeypatch):
    first = run(llama, vectors, tmp_path)
    other = run(llama, vectors, tmp_path, seed=1)
    assert not any(torch.equal(a.direction, b.direction) for a in first for b in other)

    def refuse(*args, **options):
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(null_band, "kept_gradient", refuse)
        again = run(llama, vectors, tmp_path)
    for a, b in zip(first, again, strict=True):
        assert (a.role, a.number, a.layer, a.coefficient) == (
            b.role,
            b.number,
            b.layer,
            b.coefficient,
        )
        assert torch.equal(a.direction, b.direction)
    files = list(tmp_path.glob("random-*.parquet"))
    assert len(files) == 2 * 3
    for file in files:
        file.write_bytes(b"damaged")
    run(llama, vectors, tmp_path)
    run(llama, vectors, tmp_path, seed=1)
    assert [len(pd.read_parquet(file)) for file in files] == [2] * 6


def test_a_stopped_run_goes_on_after_its_last_rotation(llama, vectors, tmp_path, monkeypatch):
    whole = run(llama, vectors, tmp_path / "whole")
    turned = []

    def stopped(vectors, *, seed):
        if len(turned) == 2:
            raise KeyboardInterrupt
        turned.append(seed)
        return rotated(vectors, seed=seed)

    with monkeypatch.context() as patch:
        patch.setattr(null_band, "rotated", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(llama, vectors, tmp_path / "own")
    turned.clear()
    monkeypatch.setattr(null_band, "rotated", stopped)
    again = run(llama, vectors, tmp_path / "own")
    assert turned == [2]
    for one, other in zip(again, whole, strict=True):
        assert torch.equal(one.direction, other.direction)
