"""A learned addition: its gradient, what it reaches, and that it goes on where it was stopped."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import QUIET

from role_lens import Asking, Patch, Question, RoleLensError
from role_lens.experiments import Learning, learn_addition, random_directions
from role_lens.scoring import Asker
from role_lens.scoring.attribution import question_gradients

QUESTIONS = [
    Question(f"q{i}", f"Which is {i}?", (f"a{i}", "bc", "def"), i % 3, "s", "d") for i in range(30)
]


def margin(asked, patch):
    (scores,) = asked.scorer().logprobs([(patch,) if patch is not None else ()])
    return float(np.mean(asked.score_columns(scores)["margin"]))


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
@pytest.mark.parametrize("layer", [1, 2])
def test_gradient_under_a_patch(scoring, layer, llama):
    """Against finite differences of the margin, where the model is already patched."""
    asked = Asker(llama, Asking(scoring), QUIET).ask(QUESTIONS)
    start, step = random_directions(llama.cfg.d_model, 2, seed=1)
    patch = Patch.add(start, layer=layer)
    total = sum(one.sum(dim=0) for one in question_gradients(asked, patch=patch)) / len(asked)
    assert not total[:layer].any()
    size = 0.02
    ends = [margin(asked, Patch.add(start + sign * size * step, layer=layer)) for sign in (1, -1)]
    slope = (ends[0] - ends[1]) / (2 * size)
    assert float(total[layer] @ step) == pytest.approx(slope, rel=0.05, abs=0.01)


def test_it_does_more_than_random_directions(llama, tmp_path):
    # Each text three times, so that what is held out can be learned from the rest.
    texts = [replace(QUESTIONS[i % 10], id=f"q{i}") for i in range(30)]
    asked = Asker(llama, compute=QUIET).ask(texts)
    patch = learn_addition(asked, tmp_path, layer=1, length=2.0, learning=Learning(steps=12))
    assert float(patch.direction.norm()) <= 2.001
    random = [
        margin(asked, Patch.add(2.0 * direction, layer=1))
        for direction in random_directions(llama.cfg.d_model, 40)
    ]
    assert margin(asked, patch) > max(random)


def test_a_stopped_run_goes_on(llama, tmp_path, monkeypatch):
    asked = Asker(llama, compute=QUIET).ask(QUESTIONS)
    place = {"layer": 1, "length": 1.0, "learning": Learning(steps=4, patience=4)}
    whole = learn_addition(asked, tmp_path / "whole", **place)
    learn_addition(asked, tmp_path / "parts", **place)
    steps = sorted((tmp_path / "parts").glob("step-*.npy"))
    assert len(steps) == 4
    steps[-1].unlink()
    steps[-2].write_bytes(b"damaged")
    again = learn_addition(asked, tmp_path / "parts", **place)
    torch.testing.assert_close(again.direction, whole.direction)
    # Another bound in the same folder is learned anew.
    other = learn_addition(asked, tmp_path / "parts", **{**place, "length": 0.5})
    assert float(other.direction.norm()) <= 0.5001


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0.0}, "length must be above 0"),
        ({"length": float("nan")}, "length must be a number"),
    ],
)
def test_refused(options, message, llama, tmp_path):
    asked = Asker(llama, compute=QUIET).ask(QUESTIONS)
    with pytest.raises(RoleLensError, match=message):
        learn_addition(asked, tmp_path, layer=1, **options)


@pytest.mark.usefixtures("as_users_have_it")
def test_learning_is_checked():
    with pytest.raises(RoleLensError, match="rate must be between 0 and 1"):
        Learning(rate=2.0)
    with pytest.raises(RoleLensError, match="steps must be at least 1"):
        Learning(steps=0)
