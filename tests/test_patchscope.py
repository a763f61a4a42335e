import pytest
import torch
from conftest import build

from role_lens import RoleLensError, Sampling, encode_chat, generate
from role_lens.reading import TARGET, Injection, patchscope, placeholder_positions, word_states

VECTORS = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))


def test_positions_of_the_placeholder(llama):
    ids = encode_chat(llama, [TARGET])[0]
    (place,) = placeholder_positions(llama, TARGET)
    assert llama.tokenizer.decode([ids[place]]) == "X"
    several = placeholder_positions(llama, "X and X, not Xs or eX", system="X marks the spot.")
    ids = encode_chat(llama, ["X and X, not Xs or eX"], "X marks the spot.")[0]
    assert [llama.tokenizer.decode([ids[p]]) for p in several] == ["X", "X"]
    assert several[1] - several[0] == len("X and ")
    long = placeholder_positions(llama, "What is THING?", "THING")
    assert len(long) == len("THING")  # a token a letter here
    with pytest.raises(RoleLensError, match="no word 'X'"):
        placeholder_positions(llama, "What does eX represent?")


def test_slow_tokenizers_are_refused(llama, monkeypatch):
    monkeypatch.setattr(type(llama.tokenizer), "is_fast", False)
    with pytest.raises(RoleLensError, match="tokenizer, which tells where each token stands in"):
        placeholder_positions(llama, TARGET)


@pytest.mark.parametrize("mode", ["replace", "add"])
def test_what_is_put_there(model, mode):
    """By a hook that does the same to one prompt, written out."""
    layers, scales = [0, 1, 2], [-3.0, -10.0, 5.0] if mode == "replace" else [10.0, 20.0, 50.0]
    texts = patchscope(model, VECTORS, Injection(layers, scales, mode), max_new_tokens=6)
    plain = generate(model, TARGET, max_new_tokens=6)
    unscaled = patchscope(model, VECTORS, Injection(layers, mode=mode), max_new_tokens=6)
    assert texts != unscaled
    assert {*texts, *unscaled} != {plain}
    (place,) = placeholder_positions(model, TARGET)
    for vector, layer, scale, text in zip(VECTORS, layers, scales, texts, strict=True):

        def put(x, hook, vector=vector, scale=scale):
            if x.shape[1] == 1:
                return x
            x = x.clone()
            if mode == "replace":
                x[:, place] = scale * x[:, place].norm() * vector / vector.norm()
            else:
                x[:, place] += scale * vector
            return x

        with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", put)]):
            assert generate(model, TARGET, max_new_tokens=6) == text


def test_states_of_words(model):
    """Of each word's last token, in the place of the placeholder."""
    words = ["cook", "poet"]
    states = word_states(model, words, 1)
    for word, state in zip(words, states, strict=True):
        text = TARGET.replace("X", word)
        (*_, place) = placeholder_positions(model, text, word)
        kept = []
        with model.hooks(
            fwd_hooks=[("blocks.1.hook_resid_pre", lambda x, hook, kept=kept: kept.append(x))]
        ):
            model(torch.tensor(encode_chat(model, [text])))
        torch.testing.assert_close(state, kept[0][0, place], rtol=1e-4, atol=1e-5)
    with pytest.raises(RoleLensError, match="layer 99 is out of range"):
        word_states(model, words, 99)


def test_batches_make_no_difference(llama):
    injection = Injection(layer=1, scale=20.0, mode="add")
    together = patchscope(llama, VECTORS, injection, max_new_tokens=5)
    sampling = Sampling(batch_size=2)
    assert patchscope(llama, VECTORS, injection, max_new_tokens=5, sampling=sampling) == together
    assert len(set(together)) > 1
    assert not llama.hook_dict["blocks.1.hook_resid_pre"].fwd_hooks


def test_the_cache_makes_no_difference(llama):
    injection = Injection(layer=1, scale=[20.0, 40.0, 60.0], mode="add")
    cached = patchscope(llama, VECTORS, injection, max_new_tokens=6)
    assert generate(llama, TARGET, max_new_tokens=6) not in cached[:1]
    sampling = Sampling(use_cache=False)
    assert patchscope(llama, VECTORS, injection, max_new_tokens=6, sampling=sampling) == cached


def test_out_of_memory_makes_no_difference(llama):
    injection = Injection(layer=[0, 1, 2], scale=20.0, mode="add")
    together = patchscope(llama, VECTORS, injection, max_new_tokens=5)
    rows = []

    def small(x, hook):
        rows.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError

    with llama.hooks(fwd_hooks=[("hook_embed", small)]):
        assert patchscope(llama, VECTORS, injection, max_new_tokens=5) == together
    assert rows[0] == 3
    assert 1 in rows


def test_the_target_and_its_placeholder_are_of_one_s_own(llama):
    injection = Injection(layer=1, scale=4.0, target="Describe THING, please.", placeholder="THING")
    options = {"max_new_tokens": 5, "system": "Be brief."}
    places = placeholder_positions(llama, injection.target, "THING", "Be brief.")
    (text,) = patchscope(llama, VECTORS[:1], injection, **options)

    def put(x, hook):
        if x.shape[1] > 1:
            x = x.clone()
            lengths = x[:, places].norm(dim=-1, keepdim=True)
            x[:, places] = 4.0 * lengths * VECTORS[0] / VECTORS[0].norm()
        return x

    with llama.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", put)]):
        assert generate(llama, injection.target, **options) == text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 3}, "layer 3 is out of range"),
        ({"layer": [0, 1]}, "or one for each: got 3 vectors, 2 layers and 3 scales"),
        ({"layer": 1, "scale": [1.0, 2.0]}, "3 vectors, 3 layers and 2 scales"),
        ({"layer": 1, "target": "Nothing here"}, "no word 'X'"),
    ],
)
def test_refused(llama, options, message):
    with pytest.raises(RoleLensError, match=message):
        patchscope(llama, VECTORS, Injection(**options))


def test_refused_vectors():
    llama = build("llama")
    with pytest.raises(RoleLensError, match="at least one vector"):
        patchscope(llama, torch.ones(0, 32), Injection(layer=1))
    with pytest.raises(RoleLensError, match="7 dimensions, the model 32"):
        patchscope(llama, torch.ones(2, 7), Injection(layer=1))
    with pytest.raises(RoleLensError, match="the direction is zero"):
        patchscope(llama, torch.zeros(2, 32), Injection(layer=1))
