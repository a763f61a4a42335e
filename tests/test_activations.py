import pytest
import torch
from tiny import tiny_bridge

from role_lens import RoleLensError
from role_lens._run import activations
from role_lens._run.activations import activations_at, sum_activations
from role_lens._run.tokens import encode_chat

GROUPS = [["Rhyme 'moon'?", "Scan this line, please."], ["Which knot?", "How deep is it here?"]]


def mean(model):
    return sum_activations(model, [encode_chat(model, g) for g in GROUPS], (-2, -1)).mean()


def test_the_preamble_is_computed_once(monkeypatch):
    model, seen = tiny_bridge("llama"), []
    run = activations.residual_stream

    def counted(model, batch, *args):
        seen.append(int(batch.mask.sum()))
        return run(model, batch, *args)

    expected = mean(model)  # with the check of the model, which is made once
    monkeypatch.setattr(activations, "residual_stream", counted)
    torch.testing.assert_close(mean(model), expected, atol=1e-5, rtol=1e-4)
    texts = [ids for group in GROUPS for ids in encode_chat(model, group)]
    preamble = next(i for i in range(99) if len({ids[i] for ids in texts}) > 1)
    assert preamble > 5
    assert sum(seen) == sum(len(ids) - preamble for ids in texts)


@pytest.mark.parametrize("how", ["wrong", "failing"])
def test_a_model_that_does_not_continue_from_the_preamble(monkeypatch, how):
    model, run = tiny_bridge("llama"), activations.run_blocks

    def broken(*args, **kwargs):
        output, past = run(*args, **kwargs)
        if how == "failing":
            raise KeyError("no such cache")
        wrong = {layer: (keys + 1, values + 1) for layer, (keys, values) in past.pairs.items()}
        return output, type(past)(wrong, past.mask, past.rows)

    expected = mean(tiny_bridge("llama"))
    monkeypatch.setattr(activations, "run_blocks", broken)
    with pytest.warns(UserWarning, match="tiny-llama doesn't continue exactly"):
        torch.testing.assert_close(mean(model), expected, atol=1e-5, rtol=1e-4)


def test_out_of_memory_says_nothing_of_the_model(monkeypatch):
    model, run, left = tiny_bridge("llama"), activations.residual_stream, [True]

    def full(*args):
        if left:
            left.clear()
            raise torch.OutOfMemoryError
        return run(*args)

    expected = mean(tiny_bridge("llama"))
    monkeypatch.setattr(activations, "residual_stream", full)
    torch.testing.assert_close(mean(model), expected, atol=1e-5, rtol=1e-4)
    assert model not in activations._checked or not activations._checked[model]


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
