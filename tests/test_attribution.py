import numpy as np
import pytest
import torch
from tiny import QUIET, tiny_bridge

from role_lens import (
    Asking,
    Compute,
    Patch,
    Question,
    RoleLensError,
    RoleVectors,
    attribute,
    evaluate,
)
from role_lens.scoring import attribution

ROLES = {"poet": ["Rhyme?", "Ode!", "Scan this."], "cook": ["Salt?", "Stew!", "Boil this now."]}
BASE = ["Tea?", "Lunch!", "So it goes."]
QUESTIONS = [
    Question(f"q{i}", f"Which{' one' * i}?", ("a", "bc", "def x", "e")[: 3 + i % 2], a, "s", "d")
    for i, a in enumerate([0, 1, 2, 3, 1, 0, 2, 2])
]
NAMES = ["contrast", "role", "position", "layer"]


def fit(model):
    return RoleVectors.fit(model, ROLES, BASE, positions=[-2, -1], compute=QUIET)


@pytest.mark.parametrize("score", ["margin", "logprob"])
@pytest.mark.parametrize("scoring", ["letter", "cloze"])
def test_is_the_derivative_of_the_effect(model, scoring, score):
    vectors = fit(model)
    table = attribute(model, vectors, QUESTIONS, Asking(scoring), score=score, compute=QUIET)
    eps = 0.02  # of the direction: small enough to be linear, large enough for float32
    for row in table.sample(6, random_state=0).itertuples():
        d = vectors.direction(
            row.role, layer=row.layer, position=row.position, contrast=row.contrast
        )
        if not bool(d.any()):
            assert row.effect == 0
            continue
        patches = {
            str(sign): Patch.add(d, layer=row.layer, coefficient=sign * eps) for sign in (1, -1)
        }
        scores = evaluate(model, QUESTIONS, patches, asking=Asking(scoring), compute=QUIET)
        column = "logprob_correct" if score == "logprob" else "margin"
        by_patch = scores.pivot(index="question_id", columns="patch", values=column)
        slope = (by_patch["1"] - by_patch["-1"]) / (2 * eps)
        assert row.effect == pytest.approx(slope.mean(), rel=0.05, abs=5e-3)
        if score == "logprob":  # a question's margin depends on the others' scores too
            assert row.sem == pytest.approx(slope.std(ddof=1) / np.sqrt(8), rel=0.1, abs=5e-3)


def test_batch_size_does_not_matter(llama):
    vectors = fit(llama)
    cloze = Asking("cloze")
    together = attribute(llama, vectors, QUESTIONS, cloze, compute=QUIET)
    alone = attribute(llama, vectors, QUESTIONS, cloze, compute=Compute(1, progress=False))
    np.testing.assert_allclose(together["effect"], alone["effect"], atol=1e-5)
    np.testing.assert_allclose(together["sem"], alone["sem"], atol=1e-5)


def test_one_row_for_each_direction(llama):
    vectors = fit(llama)
    table = attribute(llama, vectors, QUESTIONS, compute=QUIET)
    assert len(table) == len(table[NAMES].drop_duplicates()) == 2 * 2 * 2 * 3
    assert set(table["kind"]) == {"add"}
    assert table["coefficient"].eq(1.0).all()
    alone = attribute(llama, vectors, QUESTIONS[:1], score="logprob", compute=QUIET)
    assert np.isnan(alone["sem"]).all()
    with pytest.raises(RoleLensError, match="1 questions with 3 options are too few to measure"):
        attribute(llama, vectors, QUESTIONS[:1], compute=QUIET)


def test_nothing_is_left_behind(llama):
    vectors = fit(llama)
    attribute(llama, vectors, QUESTIONS, compute=QUIET)
    assert all(parameter.grad is None for parameter in llama.parameters())
    assert not any("forward" in block.__dict__ for block in llama.blocks)
    assert not torch.is_inference_mode_enabled()


def test_bad_input(llama):
    vectors = fit(llama)
    with pytest.raises(RoleLensError, match="at least one question"):
        attribute(llama, vectors, [], compute=QUIET)
    alone = RoleVectors.fit(llama, {"poet": ROLES["poet"]}, BASE, compute=QUIET)
    with pytest.raises(RoleLensError, match="at least two roles"):
        attribute(llama, alone, QUESTIONS, contrasts=["roles"], compute=QUIET)


@pytest.mark.parametrize("wrong", [1.0, float("nan")])
def test_a_model_whose_blocks_do_not_run_alone_is_refused(monkeypatch, wrong):
    model, run = tiny_bridge("llama"), attribution.run_blocks

    def broken(*args, start=0, **kwargs):
        output, past = run(*args, start=start, **kwargs)
        return (output + wrong if start == 1 else output), past

    # No model at hand has such a block: the fault is put inside.
    monkeypatch.setattr(attribution, "run_blocks", broken)
    with pytest.raises(RoleLensError, match="can't be estimated on tiny-llama: block 1 alone"):
        attribute(model, fit(model), QUESTIONS, compute=QUIET)
