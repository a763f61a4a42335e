"""Which models and questions are replayed, and which get whole passes."""

import warnings

import numpy as np
import pytest
import torch
from test_replay import QUESTIONS, direction, question
from tiny import OTHERS, QUIET, items_of, tiny_bridge

from role_lens import Asking, Patch, RoleLensError, RoleVectors, attribute, evaluate
from role_lens._run.budget import Budget
from role_lens.scoring import engine, replay
from role_lens.scoring.items import Item
from role_lens.scoring.replay import Replay
from role_lens.scoring.whole_pass import WholePasses

ROLES = {"a": ["Rhyme 'moon'?", "Scan this."], "b": ["Which knot?", "How deep is it?"]}


def tokens(questions, model):
    return items_of(model, questions)


def test_every_architecture_is_replayed(model):
    """None of them falls back to whole passes."""
    engine._checked.pop(model, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(model, QUESTIONS, {"x": Patch.add(direction(), layer=1)}, compute=QUIET)
    assert all(agreed for agreed, _ in engine._checked[model].values())


@pytest.mark.long
@pytest.mark.parametrize("architecture", OTHERS)
def test_other_architectures(architecture):
    model = tiny_bridge(architecture)
    questions = [question(2 + n % 3, 6 * n) for n in range(4)]
    vectors = RoleVectors.fit(model, ROLES, ["Tea?", "Is it late?"], compute=QUIET)
    patch = vectors.add("a", layer=1, coefficient=2.0)
    # From short to long, one alone, and several that are the same.
    for some in (questions, questions[:1], questions[1:2] * 3):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # no fallback
            table = evaluate(model, some, {"x": patch}, compute=QUIET)
        expected = WholePasses(model, tokens(some, model), Budget(1)).logprobs([(patch,)])[0]
        np.testing.assert_allclose(table["logprob_0"], expected[:, 0], atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("how", ["wrong", "failing", "nan"])
def test_a_model_that_replay_does_not_fit(monkeypatch, how):
    model = tiny_bridge("llama", seed=1)
    run = replay.run_blocks

    def broken(*args, start=0, **kwargs):
        output, past = run(*args, start=start, **kwargs)
        if start == 1 and how == "failing":
            raise KeyError("no such block")
        if start == 1:
            output = output + (1.0 if how == "wrong" else torch.nan)
        return output, past

    # No model at hand fails like this: the fault is put inside.
    monkeypatch.setattr(replay, "run_blocks", broken)
    patches = {"x": Patch.add(direction(), layer=1)}
    with pytest.warns(UserWarning, match="tiny-llama is scored by whole forward passes"):
        table = evaluate(model, QUESTIONS, patches, compute=QUIET)
    items = tokens(QUESTIONS, model)
    expected = WholePasses(model, items, Budget(4096)).logprobs([(patches["x"],)])[0]
    np.testing.assert_allclose(table["logprob_0"], expected[:, 0], atol=1e-5)
    with warnings.catch_warnings():  # said once
        warnings.simplefilter("error")
        evaluate(model, QUESTIONS, patches, compute=QUIET)


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
def test_a_mistake_in_padded_rows_only_is_noticed(monkeypatch, scoring):
    """Though the longest question and the shortest differ so much that they share no batch."""
    model = tiny_bridge("llama", seed=1)
    run = replay.run_blocks

    def broken(model, tokens, mask, **kwargs):
        output, past = run(model, tokens, mask, **kwargs)
        if kwargs.get("start") == 1 and bool((mask == 0).any()):
            output = output + (mask == 0).any(dim=1)[:, None, None]
        return output, past

    # No model at hand fails like this: the fault is put inside.
    monkeypatch.setattr(replay, "run_blocks", broken)
    questions = [question(2, 0), question(2, 12)]
    with pytest.warns(UserWarning, match="scored by whole forward passes"):
        evaluate(
            model,
            questions,
            {"x": Patch.add(direction(), layer=1)},
            Asking(scoring),
            compute=QUIET,
        )


def test_choices_of_several_tokens_are_checked_too(monkeypatch):
    """A first run with letters doesn't vouch for them."""
    model = tiny_bridge("llama", seed=1)
    patches = {"x": Patch.add(direction(), layer=1)}
    evaluate(model, QUESTIONS, patches, compute=QUIET)
    # As above: replay alone is to be wrong.
    monkeypatch.setattr(Replay, "logprobs", lambda self, c: torch.zeros(len(c), 2, 4))
    with pytest.warns(UserWarning, match="scored by whole forward passes"):
        evaluate(model, QUESTIONS, patches, Asking("cloze"), compute=QUIET)


def test_hooks_that_are_there_act_once():
    """On the layer that is replayed too; and what they do isn't held against replay."""
    model = tiny_bridge("llama")
    there, patch = Patch.add(direction(1), layer=1), Patch.add(direction(), layer=1)
    together = evaluate(model, QUESTIONS, {"x": [there, patch]}, compute=QUIET)
    for fresh in (model, tiny_bridge("llama")):
        with there.on(fresh), warnings.catch_warnings():
            warnings.simplefilter("error")
            table = evaluate(fresh, QUESTIONS, {"x": patch}, compute=QUIET)
        np.testing.assert_allclose(table["logprob_0"], together["logprob_0"], atol=1e-4)
        assert type(engine.engine(fresh, tokens(QUESTIONS, fresh), Budget(999))) is Replay


def test_attribution_refuses_hooks(llama):
    vectors = RoleVectors.fit(llama, ROLES, ["Tea?", "Is it late?"], compute=QUIET)
    with (
        vectors.add("a", layer=1).on(llama),
        pytest.raises(RoleLensError, match="the model carries hooks"),
    ):
        attribute(llama, vectors, QUESTIONS, compute=QUIET)


def test_padding_stays_within_the_context():
    """Each of these fits, but not the shorter prompt's padding and its choices after it."""
    model = tiny_bridge("gpt2")
    items = [
        Item((5,) * length, tuple((7, *range(10, 10 + n)) for n in lengths))
        for length, lengths in ((245, (9, 4)), (244, (11, 10)), (200, (49, 2)))
    ]
    budget = Budget(10**6, of_a_batch=10**6)
    candidates = [(Patch.add(direction(), layer=1),)]
    expected = WholePasses(model, items, Budget(1)).logprobs(candidates)
    np.testing.assert_allclose(
        Replay(model, items, budget).logprobs(candidates), expected, atol=1e-4
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(engine.engine(model, items, budget)) is Replay


def test_a_shared_prefix_and_much_longer_questions_are_checked_again(monkeypatch):
    model = tiny_bridge("pythia")
    compared = []
    # Whether it compares is what is asked, not what it finds.
    monkeypatch.setattr(engine, "_agrees", lambda model, items: not compared.append(items))

    def ask(*prompts):
        n = len(compared)
        engine.engine(model, [Item(prompt, ((7,), (8,))) for prompt in prompts], Budget(999))
        return len(compared) > n

    assert ask((1, 2, 3), (2, 3, 4, 5))
    assert not ask((2, 3), (4, 5, 6, 7))
    assert ask((1, 2, 3), (1, 3, 4, 5))  # the first that share a token
    assert not ask((1, 2, 3), (1, 3, 4, 5, 6, 7, 8))
    assert ask((1, 2, 3), (1, *range(2, 20)))
    assert [len(item.prompt) for item in compared[-1]] == [19, 3]
