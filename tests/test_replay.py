import warnings

import numpy as np
import pytest
import torch
from tiny import QUIET, items_of, tiny_bridge

from role_lens import Patch, Question, RoleLensError, evaluate
from role_lens._run.budget import Budget
from role_lens.errors import OutOfMemoryError
from role_lens.scoring import replay
from role_lens.scoring.replay import Replay
from role_lens.scoring.whole_pass import WholePasses

D = 32


def question(n, number):
    choices = tuple(f"choice {'x' * (3 * i + number)}" for i in range(n))
    return Question(f"q{number}", f"Which{' one' * number}, {number}?", choices, 0, "s", "d")


QUESTIONS = [question(4, 0), question(3, 6), question(2, 2), question(4, 9)]


def direction(seed=0):
    return torch.randn(D, generator=torch.Generator().manual_seed(seed))


MASKS = ("prompt", "generated", "last", "answer", "not_first", "prompt[2:-3]", "answer[:2]")


def candidates_of_one_form():
    """Lists of candidates that may share a batch."""
    d, e = direction(0), direction(1)
    for layer in range(3):
        yield [(Patch.add(x, layer=layer, coefficient=c),) for x in (d, e) for c in (1.0, -2.0)]
    yield [(Patch.ablate(d),), (Patch.ablate(e),)]
    yield [(Patch.clamp(d, layer=1, value=2.0),), (Patch.clamp(e, layer=1, value=-1.0),)]
    yield [(Patch.cap(d, layer=[1, 2], value=0.1),), (Patch.cap(e, layer=[1, 2], value=0.0),)]
    yield [
        (Patch.add(d, layer=2), Patch.add(e, layer=1)),
        (Patch.add(e, layer=2), Patch.add(d, layer=1)),
    ]
    yield [(), ()]
    for tokens in MASKS:
        yield [(Patch.add(x, layer=1, tokens=tokens),) for x in (d, e)]
        yield [(Patch.ablate(x, tokens=tokens),) for x in (d, e)]


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
def test_replay_equals_whole_passes(model, scoring):
    items = items_of(model, QUESTIONS, scoring)
    scorer, whole = (kind(model, items, Budget(4096)) for kind in (Replay, WholePasses))
    # In this order layers also go back, which needs a new base pass.
    for candidates in candidates_of_one_form():
        expected = whole.logprobs(candidates)
        np.testing.assert_allclose(scorer.logprobs(candidates), expected, atol=1e-4)


@pytest.mark.parametrize("max_tokens", [1, 60, 250])
def test_batch_size_does_not_matter(model, max_tokens):
    items = items_of(model, QUESTIONS, "cloze")
    candidates = [(Patch.add(direction(i), layer=1),) for i in range(3)]
    expected = Replay(model, items, Budget(4096)).logprobs(candidates)
    found = Replay(model, items, Budget(max_tokens)).logprobs(candidates)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
def test_questions_with_examples(model, scoring):
    """Two subjects, so two groups with a prefix of their own."""
    subjects = [("a", "This?"), ("b", "And else?")]
    asked = [
        Question(f"{s}{i}", f"Item {i * 11}?", ("yes", "no", "perhaps"), i % 3, s, "d")
        for s, _ in subjects
        for i in range(4)
    ]
    shots = [Question(s, text, ("yes", "no", "perhaps"), 1, s, "d") for s, text in subjects]
    items = items_of(model, asked, scoring, shots)
    candidates = [(Patch.add(direction(), layer=1),)]
    scorer = Replay(model, items, Budget(4096))
    expected = WholePasses(model, items, Budget(4096)).logprobs(candidates)
    np.testing.assert_allclose(scorer.logprobs(candidates), expected, atol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_processed_weights(architecture):
    """Norms folded and weights centred, as in a HookedTransformer."""
    model = tiny_bridge(architecture)
    model.enable_compatibility_mode()
    items = items_of(model, QUESTIONS, "cloze")
    candidates = [(Patch.add(direction(), layer=1),)]
    expected = WholePasses(model, items, Budget(4096)).logprobs(candidates)
    found = Replay(model, items, Budget(4096)).logprobs(candidates)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def tokens_seen(model, layer, run):
    """How many tokens pass through a block while `run` runs."""
    seen = []

    def count(x, hook):
        seen.append(x.shape[:2].numel())

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", count)]):
        run()
    return sum(seen)


def test_only_what_changes_is_computed(llama):
    items = items_of(llama, QUESTIONS, "cloze")
    prompts = [item.prompt for item in items]
    shared = next(i for i in range(99) if len({p[i] for p in prompts}) > 1)
    rest = sum(len(p) - shared for p in prompts)
    rest += sum(len(c) - 1 for item in items for c in item.continuations)
    scorer = Replay(llama, items, Budget(1))  # one question at a time: no padding in the prompts
    candidates = [(Patch.add(direction(i), layer=1),) for i in range(3)]
    scorer.logprobs(candidates)
    assert tokens_seen(llama, 0, lambda: scorer.logprobs(candidates)) == 0
    seen = tokens_seen(llama, 1, lambda: scorer.logprobs(candidates))
    padding = sum(
        max(len(c) for c in item.continuations) * len(item.continuations)
        - sum(map(len, item.continuations))
        for item in items
    )
    assert seen == 3 * (shared + rest + padding)
    # Of the last block keys and values of all tokens, the rest of the last one: it is entered a
    # second time with that alone.
    last = tokens_seen(llama, 2, lambda: scorer.logprobs(candidates))
    assert last == seen + 3 * len(items)


def test_interrupted_between_layers(llama, monkeypatch):
    items = items_of(llama, QUESTIONS, "letter")
    scorer, candidates = Replay(llama, items, Budget(60)), [(Patch.add(direction(), layer=2),)]
    expected = WholePasses(llama, items, Budget(4096)).logprobs(candidates)
    run, left = replay.run_blocks, [2]

    def interrupted(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return run(*args, **kwargs)

    # Between two passes, where no hook is: the interruption is put inside.
    monkeypatch.setattr(replay, "run_blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scorer.logprobs(candidates)
    np.testing.assert_allclose(scorer.logprobs(candidates), expected, atol=1e-4)


def test_how_many_candidates_at_once(llama, monkeypatch):
    items = items_of(llama, QUESTIONS, "letter")
    one, other = (Replay(llama, items, Budget(n)) for n in (10, 4096))
    assert [one.chunk_size(layer) for layer in range(3)] == [64, 64, 64]
    # A tiny model would need thousands of questions to reach the real one.
    monkeypatch.setattr(replay, "_WORK", 3e7)
    sizes = [one.chunk_size(layer) for layer in range(3)]
    assert sizes == [other.chunk_size(layer) for layer in range(3)]
    assert 1 <= sizes[0] < sizes[1] < sizes[2] < 64


def test_the_model_is_as_before_after_an_error(llama):
    items = items_of(llama, QUESTIONS, "letter")
    scorer = Replay(llama, items, Budget(4096))

    def fail(x, hook):
        raise RuntimeError("interrupted")

    with (
        llama.hooks(fwd_hooks=[("blocks.2.hook_resid_pre", fail)]),
        pytest.raises(RuntimeError, match="interrupted"),
    ):
        scorer.logprobs([(Patch.add(direction(), layer=2),)])
    assert not any("forward" in block.__dict__ for block in llama.blocks)
    assert not any(block._forward_pre_hooks for block in llama.blocks)
    candidates = [(Patch.add(direction(), layer=2),)]
    expected = WholePasses(llama, items, Budget(4096)).logprobs(candidates)
    np.testing.assert_allclose(scorer.logprobs(candidates), expected, atol=1e-4)


def test_out_of_memory_makes_smaller_batches(llama, monkeypatch):
    items = items_of(llama, QUESTIONS, "cloze")
    candidates = [(Patch.add(direction(i), layer=1),) for i in range(3)]
    expected = Replay(llama, items, Budget(4096)).logprobs(candidates)
    run, limit = replay.run_blocks, [200]

    def small(model, tokens, *args, start, **kwargs):
        if tokens.numel() > limit[0] and start < 3:
            raise torch.OutOfMemoryError
        return run(model, tokens, *args, start=start, **kwargs)

    # There is no GPU to run out of memory.
    monkeypatch.setattr(replay, "run_blocks", small)
    budget = Budget(4096)
    np.testing.assert_allclose(
        Replay(llama, items, budget).logprobs(candidates), expected, atol=1e-4
    )
    assert budget.tokens < 4096
    limit[0] = 3
    with pytest.raises(RoleLensError, match="out of GPU memory"):
        Replay(llama, items, budget).logprobs(candidates)


def test_out_of_memory_at_the_unembedding_is_said_at_once(llama, monkeypatch):
    """Smaller batches of questions wouldn't make it smaller."""
    items = items_of(llama, QUESTIONS, "cloze")
    budget = Budget(4096)

    def full(model):
        raise torch.OutOfMemoryError

    # As above.
    monkeypatch.setattr(replay, "float32_readout", full)
    with pytest.raises(OutOfMemoryError, match="at the unembedding"):
        Replay(llama, items, budget).logprobs([(Patch.add(direction(), layer=1),)])
    assert budget.tokens == 4096


def test_bfloat16_replay_is_close_to_float32():
    model, low = tiny_bridge("llama"), tiny_bridge("llama").to(torch.bfloat16)
    low.cfg.dtype = torch.bfloat16
    patches = {str(i): Patch.add(direction(i), layer=i % 3) for i in range(12)}
    effects = []
    for one in (model, low):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = evaluate(one, QUESTIONS, {"b": None, **patches}, compute=QUIET)
        means = table.groupby("patch")["logprob_correct"].mean()
        effects.append(means.drop("b") - means["b"])
    assert effects[0].corr(effects[1]) > 0.95


@pytest.mark.packaged
def test_packaged_model(packaged):
    """Below 1e-4 in log-probability."""
    from role_lens import load_questions

    questions = load_questions("builtin", domain="law")[:6]
    d = torch.randn(576, generator=torch.Generator().manual_seed(0))
    forms = [[(Patch.add(d, layer=15),)], [(Patch.add(d, layer=29),)], [(Patch.ablate(d),)]]
    items = items_of(packaged, questions, "letter")
    scorer, whole = (kind(packaged, items, Budget(1024)) for kind in (Replay, WholePasses))
    for candidates in forms:
        difference = scorer.logprobs(candidates) - whole.logprobs(candidates)
        assert float(difference.abs().max()) < 1e-4
