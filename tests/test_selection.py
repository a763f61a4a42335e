import pandas as pd
import pytest
import torch
from tiny import QUIET, ROLES, unchecked

from role_lens import Compute, Grid, Question, RoleLensError, Selection, select, sweep
from role_lens._run.tokens import encode_chat
from role_lens.experiments import best_first
from role_lens.scoring import Asker, NeutralPrompts
from role_lens.scoring.divergence import answer_logprobs, mean_kl

QUESTIONS = [
    Question(f"q{i}", f"Which one is {i}?", ("a", "bc", "def"), i % 3, "s", "d") for i in range(20)
]
NEUTRAL = ["Hello?", "Say something.", "What now?"]
BOTH = Grid(contrasts=("base", "roles"))


def run(llama, vectors, out, **options):
    usual = {"max_kl": None, "leave_out_last": None, "grid": BOTH, "neutral": tuple(NEUTRAL)}
    return select(llama, vectors, QUESTIONS, out, Selection(**{**usual, **options}), compute=QUIET)


def test_the_best_of_all_is_chosen(llama, vectors, tmp_path):
    effects = sweep(llama, vectors, QUESTIONS, tmp_path / "sweep", BOTH, compute=QUIET).iloc[1:]
    for objective, column in (("margin", "effect"), ("accuracy", "accuracy_change")):
        choices = run(llama, vectors, tmp_path / objective, objective=objective)
        for role, choice in choices.items():
            mine = effects[effects["role"] == role]
            assert getattr(choice, column) == pytest.approx(mine[column].max(), abs=1e-6)
            assert (choice.n_questions, choice.n_tried) == (20, len(mine))
            where = {**vars(choice.spec)}
            where.pop("role")
            (row,) = mine.loc[(mine[list(where)] == pd.Series(where)).all(axis=1), "effect"]
            assert row == pytest.approx(choice.effect, abs=1e-6)
            patch = choice.patch(vectors)
            for name in ("coefficient", "schedule"):
                where.pop(name)
            torch.testing.assert_close(patch.direction, vectors.direction(role, **where))
            assert patch.layers == (choice.spec.layer,)


@pytest.mark.long
def test_kl_guard(llama, vectors, tmp_path):
    """What is chosen is the best of those within the limit."""
    free = run(llama, vectors, tmp_path)
    assert all(c is None for c in run(llama, vectors, tmp_path, max_kl=1e-9).values())
    before = answer_logprobs(llama, NEUTRAL)
    effects = sweep(llama, vectors, QUESTIONS, tmp_path, BOTH, compute=QUIET).iloc[1:]

    def kl(row):
        where = {"layer": int(row.layer), "position": int(row.position)}
        patch = vectors.add(row.role, contrast=row.contrast, **where)
        return mean_kl(before, answer_logprobs(llama, NEUTRAL, patch))

    gave_way = 0
    for role in ROLES:
        ranked = [*best_first(effects[effects["role"] == role]).itertuples()]
        measured = [kl(row) for row in ranked]
        limit = measured[0] * 0.999
        expected = next((i for i, value in enumerate(measured) if value <= limit), None)
        choice = run(llama, vectors, tmp_path, max_kl=limit)[role]
        if expected is None:
            assert choice is None
            continue
        gave_way += 1
        assert choice.kl == pytest.approx(measured[expected], rel=1e-4)
        assert choice.effect == pytest.approx(ranked[expected].effect, abs=1e-6)
    assert gave_way
    same = run(llama, vectors, tmp_path, max_kl=1e9)
    assert {r: c.effect for r, c in same.items()} == {r: c.effect for r, c in free.items()}


def test_the_limit_of_tokens_is_for_all_passes(llama, vectors, tmp_path):
    """No batch of any pass holds more."""
    seen = []

    def count(x, hook):
        seen.append(x.shape[0] * x.shape[1])

    longest = max(len(ids) for ids in encode_chat(llama, NEUTRAL))
    compute = Compute(max_tokens=longest, progress=False)
    asked = Asker(llama, compute=compute).ask(QUESTIONS)
    kl = NeutralPrompts(asked, NEUTRAL)
    with llama.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", count)]):
        kl.divergence(vectors.add("poet", layer=1))
    assert len(seen) >= len(NEUTRAL)
    assert max(seen) <= longest


@pytest.mark.parametrize("max_tokens", [None, 40])
def test_kl_by_replay_is_that_of_whole_passes(llama, vectors, max_tokens):
    """Of all layers, in whatever order; and of masks, which need the whole prompt."""
    asked = Asker(llama, compute=Compute(max_tokens=max_tokens, progress=False)).ask(QUESTIONS)
    kl, plain = NeutralPrompts(asked, NEUTRAL), answer_logprobs(llama, NEUTRAL)
    for patch in (
        vectors.add("poet", layer=2),
        vectors.add("cook", layer=1),
        vectors.add("poet", layer=1, tokens="last"),
        vectors.ablate("poet", layer=2),
    ):
        expected = mean_kl(plain, answer_logprobs(llama, NEUTRAL, patch))
        assert expected > 1e-6
        assert kl.divergence(patch) == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_mean_kl():
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.75, 0.0])
    expected = 0.5 * torch.log(torch.tensor(2.0)) + 0.5 * torch.log(torch.tensor(2 / 3))
    assert mean_kl(p.log()[None], q.log()[None]) == pytest.approx(float(expected))
    assert mean_kl(p.log()[None], p.log()[None]) == 0


def test_last_layers_are_left_out(llama, vectors, tmp_path):
    assert vectors.n_layers == 3
    choices = run(llama, vectors, tmp_path, leave_out_last=0.5)  # layer 0 is zero, 2 left out
    assert {choice.spec.layer for choice in choices.values()} == {1}
    # Layers that are named are taken as they are.
    choices = run(llama, vectors, tmp_path, grid=Grid(layers=(2,)), leave_out_last=0.5)
    assert {choice.spec.layer for choice in choices.values()} == {2}


@pytest.mark.parametrize(("n", "share", "left"), [(10, 0.7, 3), (50, 0.58, 21), (30, 0.2, 24)])
def test_left_out_is_the_stated_share(n, share, left):
    assert Selection(leave_out_last=share).within(n).grid.layers == tuple(range(left))


def test_screening_tries_the_best_directions_at_all_coefficients(llama, vectors, tmp_path):
    grid = Grid(contrasts=("base", "roles"), coefficients=(1.0, 3.0), screen=2)
    choices = run(llama, vectors, tmp_path, grid=grid)
    assert {choice.n_tried for choice in choices.values()} == {4}


def test_ties_are_broken_by_the_other_measure():
    effects = pd.DataFrame({"effect": [1.0, 2.0, 2.0], "accuracy_change": [0.5, 0.1, 0.2]})
    assert list(best_first(effects).index) == [2, 1, 0]
    assert list(best_first(effects, "accuracy").index) == [0, 2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": Grid(kinds=("ablate",))}, "only additions"),
        ({"leave_out_last": 1.0}, "leave_out_last must be at least 0 and below 1, got 1.0"),
        ({"grid": Grid(roles=("king",))}, "unknown role"),
    ],
)
def test_refused(llama, vectors, tmp_path, options, message):
    with pytest.raises(RoleLensError, match=message):
        run(llama, vectors, tmp_path, **options)


def test_an_unknown_objective():
    with pytest.raises(RoleLensError, match="objective must be one of"):
        unchecked(Selection(), objective="luck")


def test_too_few_questions(llama, vectors, tmp_path):
    with pytest.raises(RoleLensError, match="at least 20 validation questions, got 19"):
        select(llama, vectors, QUESTIONS[1:], tmp_path, compute=QUIET)
