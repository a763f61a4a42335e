from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import pytest
import torch
from tiny import QUIET

from role_lens import Grid, Question, Selection, TestPlan, evaluate
from role_lens.experiments import choose_random, rotated
from role_lens.experiments.controls.control_directions import rotation
from role_lens.scoring import Asker, answer_logprobs, mean_kl

QUESTIONS = [
    Question(f"q{i}", f"Which one is {i}?", ("a", "bc", "def"), i % 3, "s", "d") for i in range(8)
]
NEUTRAL = ("Hello?", "Say something.")
SMALL = 0.05  # a coefficient at which first-order estimates are nearly exact
GRID = Grid(contrasts=("base", "roles"), coefficients=(SMALL,))
LITTLE = replace(GRID, roles=("poet",), positions=(-1,), screen=2)
N = TestPlan().n_random  # the fewest that there may be


def run(llama, vectors, out, grid=GRID, seed=0, **guards):
    guards = {"max_kl": None, "leave_out_last": None, "neutral": NEUTRAL, **guards}
    asked = Asker(llama, compute=QUIET).ask(QUESTIONS)
    return choose_random(asked, vectors, out, Selection(grid, **guards), TestPlan(seed=seed))


@contextmanager
def passes(model, most=None):
    """A list that grows with every pass through the model; the pass after `most` is interrupted."""
    made = []

    def count(*args):
        if len(made) == most:
            raise KeyboardInterrupt
        made.append(1)

    handle = model.register_forward_pre_hook(count)
    try:
        yield made
    finally:
        handle.remove()


def same(some, others):
    """Whether two choices are of the same directions, in the same order."""

    def told(one):
        return one.role, one.number, one.layer, one.coefficient, one.direction.tolist()

    return list(map(told, some)) == list(map(told, others))


def candidates(turned, role):
    """Every addition that a role of rotated vectors gives."""
    for contrast in ("base", "roles"):
        for position in (-1,):
            for layer in range(1, turned.n_layers):
                yield turned.add(
                    role, layer=layer, position=position, contrast=contrast, coefficient=SMALL
                )


def effects(llama, patches):
    """Exact effects of patches."""
    named = {"none": None, **{str(i): patch for i, patch in enumerate(patches)}}
    scores = evaluate(llama, QUESTIONS, named, compute=QUIET)
    means = scores.groupby("patch")["margin"].mean()
    return [float(means[str(i)] - means["none"]) for i in range(len(patches))]


def test_the_best_of_all_rotated_candidates_is_chosen(llama, vectors, tmp_path):
    chosen = run(llama, vectors, tmp_path, replace(GRID, positions=(-1,), layers=(1, 2)))
    assert [(one.role, one.number) for one in chosen] == [
        (role, number) for number in range(N) for role in ("poet", "cook")
    ]
    for one in chosen[:4]:
        tried = list(candidates(rotated(vectors, seed=one.number), one.role))
        exact = effects(llama, tried)
        assert effects(llama, [one.patch])[0] == pytest.approx(max(exact), abs=1e-5)
        assert any(
            torch.equal(patch.direction, one.direction) and patch.layers == (one.layer,)
            for patch in tried
        )


def kl_on(llama):
    """The divergence that a patch makes on the neutral prompts."""
    before = answer_logprobs(llama, NEUTRAL)
    return lambda patch: mean_kl(before, answer_logprobs(llama, NEUTRAL, patch))


def test_guards(llama, vectors, tmp_path):
    assert {one.layer for one in run(llama, vectors, tmp_path, leave_out_last=0.5)} == {1}
    kl = kl_on(llama)
    free = run(llama, vectors, tmp_path, LITTLE)
    limit = sorted(kl(one.patch) for one in free)[2] * 0.99
    within = run(llama, vectors, tmp_path, LITTLE, max_kl=limit)
    assert within
    assert all(kl(one.patch) <= limit * 1.001 for one in within)
    assert not run(llama, vectors, tmp_path, replace(LITTLE, screen=1), max_kl=-1.0)
    # Where the best by estimate is beyond the limit, the next best within it is taken.
    screened = run(llama, vectors, tmp_path, replace(LITTLE, screen=1), max_kl=limit)
    assert {(one.role, one.number) for one in screened} == {
        (one.role, one.number) for one in within
    }
    assert all(kl(one.patch) <= limit * 1.001 for one in screened)


def test_tried_are_directions_at_all_coefficients(llama, vectors, tmp_path):
    """Where the largest coefficients are beyond the limit a smaller one is taken, as for a role."""
    one_direction = replace(LITTLE, screen=1)
    alone = run(llama, vectors, tmp_path, one_direction)
    limit = 1.01 * max(map(kl_on(llama), (one.patch for one in alone)))
    sizes = replace(one_direction, coefficients=(SMALL, 100 * SMALL, 1000 * SMALL))
    chosen = run(llama, vectors, tmp_path, sizes, max_kl=limit)
    for one, other in zip(chosen, alone, strict=True):
        assert torch.equal(one.direction, other.direction)
        assert one.coefficient == SMALL


def test_kept_for_the_next_run(llama, vectors, tmp_path):
    def choose(seed):
        return run(llama, vectors, tmp_path, LITTLE, seed, max_kl=9.0)

    first, other = choose(0), choose(1)
    assert not any(torch.equal(a.direction, b.direction) for a in first for b in other)
    (tmp_path / "gradient.npy").unlink()  # so that whoever chooses again has to run the model
    with passes(llama) as made:
        assert same(choose(0), first)
        assert not made
    files = list(tmp_path.glob("random-*.parquet"))
    assert len(files) == 2 * N
    for file in files:
        file.write_bytes(b"damaged")
    assert same(choose(0), first)
    assert same(choose(1), other)
    assert [len(pd.read_parquet(file)) for file in files] == [1] * 2 * N


def test_rotations_are_those_of_the_seed(llama, vectors, tmp_path):
    chosen = run(llama, vectors, tmp_path, LITTLE, seed=1)
    for one in chosen[:2]:
        turned = candidates(rotation(vectors, 1, one.number), one.role)
        assert any(torch.equal(patch.direction, one.direction) for patch in turned)


def test_plans_whose_numbers_are_written_alike_are_kept_apart(llama, vectors, tmp_path):
    """20 and 12 are the same digits as 201 and 2."""

    asked = Asker(llama, compute=QUIET).ask(QUESTIONS)
    selection = Selection(replace(LITTLE, layers=(1,), screen=1), max_kl=None)
    plans = TestPlan(20, seed=12), TestPlan(201, seed=2)
    first, other = (choose_random(asked, vectors, tmp_path, selection, plan) for plan in plans)
    assert [one.number for one in other] == list(range(201))
    assert not any(torch.equal(a.direction, b.direction) for a in first for b in other)


def test_a_stopped_run_goes_on_after_its_last_rotation(llama, vectors, tmp_path):
    one_direction = replace(LITTLE, screen=1)
    with passes(llama) as made:
        whole = run(llama, vectors, tmp_path / "whole", one_direction, max_kl=9.0)
    own = tmp_path / "own"
    with passes(llama, most=len(made) // 2), pytest.raises(KeyboardInterrupt):
        run(llama, vectors, own, one_direction, max_kl=9.0)
    written = {file.name: file.stat().st_mtime_ns for file in own.glob("random-*.parquet")}
    assert 0 < len(written) < N
    with passes(llama) as rest:
        assert same(run(llama, vectors, own, one_direction, max_kl=9.0), whole)
    assert len(rest) < len(made)
    files = list(own.glob("random-*.parquet"))
    assert len(files) == N
    assert written.items() <= {file.name: file.stat().st_mtime_ns for file in files}.items()
