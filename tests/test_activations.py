import warnings
from contextlib import contextmanager

import pytest
import torch
from tiny import tiny_bridge

from role_lens import RoleLensError, activations_at, encode_chat
from role_lens._run.activations import sum_activations

GROUPS = [["Rhyme 'moon'?", "Scan this line, please."], ["Which knot?", "How deep is it here?"]]


def mean(model):
    return sum_activations(model, [encode_chat(model, g) for g in GROUPS], (-2, -1)).mean()


def preamble(model):
    """How many tokens all prompts begin with."""
    texts = [ids for group in GROUPS for ids in encode_chat(model, group)]
    return next(i for i in range(99) if len({ids[i] for ids in texts}) > 1)


@contextmanager
def before_each_pass(model, look):
    """Let `look` see tokens, mask and cache of every pass, and change the options of the pass."""

    def hook(module, args, options):
        (tokens,) = args
        look(tokens, options)
        return args, options

    with model.register_forward_pre_hook(hook, with_kwargs=True):
        yield


@contextmanager
def tokens_run(model):
    """A list of how many tokens each pass computes, padding left out."""
    counts = []

    def count(tokens, options):
        counts.append(int(options["attention_mask"][:, -tokens.shape[1] :].sum()))

    with before_each_pass(model, count):
        yield counts


def test_the_preamble_is_computed_once():
    model = tiny_bridge("llama")
    expected = mean(model)  # with the check of the model, which is made once
    with tokens_run(model) as counts:
        torch.testing.assert_close(mean(model), expected, atol=1e-5, rtol=1e-4)
    n = preamble(model)
    assert n > 5
    own = sum(len(ids) - n for group in GROUPS for ids in encode_chat(model, group))
    assert sum(counts) == n + own


@pytest.mark.parametrize("how", ["wrong", "failing"])
def test_a_model_that_does_not_continue_from_the_preamble(how):
    """One that forgets what is in its cache, and one that takes no cache."""
    model = tiny_bridge("llama")

    def break_cache(tokens, options):
        cache = options.get("past_key_values")
        if cache is None or not cache.get_seq_length():
            return
        if how == "failing":
            raise KeyError("no such cache")
        del options["past_key_values"]
        options["attention_mask"] = options["attention_mask"][:, -tokens.shape[1] :]

    expected = mean(tiny_bridge("llama"))
    with before_each_pass(model, break_cache):
        with pytest.warns(UserWarning, match="tiny-llama doesn't continue exactly"):
            torch.testing.assert_close(mean(model), expected, atol=1e-5, rtol=1e-4)
        with warnings.catch_warnings():  # it is told once
            warnings.simplefilter("error")
            torch.testing.assert_close(mean(model), expected, atol=1e-5, rtol=1e-4)


def test_out_of_memory_says_nothing_of_the_model():
    model, left = tiny_bridge("llama"), [True]

    def run_out_once(tokens, options):
        if left:
            left.clear()
            raise torch.OutOfMemoryError

    expected = mean(tiny_bridge("llama"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with before_each_pass(model, run_out_once):
            torch.testing.assert_close(mean(model), expected, atol=1e-5, rtol=1e-4)
        assert not left
        mean(model)  # the check is made now
    with tokens_run(model) as counts:
        mean(model)
    assert counts[0] == preamble(model)  # computed once, before all others


@pytest.mark.parametrize("position", [-4, 0])
def test_padding_is_never_read(llama, position):
    """A position that only the longer sequence has, or none, is refused."""
    with pytest.raises(RoleLensError, match=r"positions .* are out of range"):
        activations_at(llama, [[5, 6, 7], [5, 6, 7, 8, 9]], [(1, position)])


def test_a_probe_can_be_trained_on_activations(llama):
    found = activations_at(llama, [[5, 6, 7], [5, 6, 8]], [(1, -1)])[0]
    weight = torch.zeros(llama.cfg.d_model, requires_grad=True)
    (found @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, found.sum(dim=0))
