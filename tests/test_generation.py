import pytest
import torch

from role_lens import Patch, RoleLensError, Sampling, encode_chat, generate

MASKS = (
    *("all", "prompt", "generated", "last", "answer", "not_first"),
    *("prompt[1:-2]", "prompt[3:]", "answer[:2]", "answer[1:3]"),
)
PROMPTS = ["Go.", "Tell me, at some length, what you had today.", "And then?"]


def patches_for(model, tokens):
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(model.cfg.d_model, generator=generator)
    other = torch.randn(model.cfg.d_model, generator=generator)
    return {
        "add": Patch.add(direction, layer=1, coefficient=1.5, tokens=tokens),
        "two": [
            Patch.ablate(direction, tokens=tokens),
            Patch.clamp(other, layer=[1, 2], value=4.0, tokens=tokens),
        ],
    }


@pytest.mark.parametrize("tokens", MASKS)
def test_same_text_with_and_without_cache_in_a_batch_and_alone(model, tokens):
    for name, patch in patches_for(model, tokens).items():
        options = {"patch": patch, "max_new_tokens": 8}
        batched = generate(model, PROMPTS, **options)
        uncached = generate(model, PROMPTS, sampling=Sampling(use_cache=False), **options)
        assert uncached == batched, name
        assert [generate(model, p, **options) for p in PROMPTS] == batched, name


def test_masks_differ(llama):
    texts = {
        tokens: generate(
            llama, PROMPTS, patch=patches_for(llama, tokens)["two"], max_new_tokens=12
        )[1]
        for tokens in MASKS
    }
    texts["none"] = generate(llama, PROMPTS, max_new_tokens=12)[1]
    assert len(set(texts.values())) >= 4, texts
    assert texts["generated"][:1] == texts["none"][:1]  # the first token sees only the prompt


def test_greedy_text_is_the_models_own(llama):
    ids = torch.tensor(encode_chat(llama, ["Go."]))
    with torch.no_grad():
        expected = llama.original_model.generate(ids, max_new_tokens=10, do_sample=False)
    text = llama.tokenizer.decode(expected[0, ids.shape[1] :], skip_special_tokens=True)
    assert generate(llama, "Go.", max_new_tokens=10) == text.strip()


def test_stops_at_the_stop_token(llama):
    """A direction along the stop token's unembedding makes the answer end at once."""
    weight = llama.original_model.lm_head.weight.detach()[llama.tokenizer.eos_token_id]
    patch = Patch.add(weight, layer=2, coefficient=1e4, tokens="all")
    assert generate(llama, PROMPTS, patch=patch, max_new_tokens=50) == ["", "", ""]


def test_sampling_is_seeded(llama):
    def sample(prompts, seed):
        return generate(llama, prompts, max_new_tokens=12, sampling=Sampling(1.5, seed))

    first = sample("Go.", 1)
    assert sample("Go.", 1) == first
    assert sample("Go.", 2) != first
    # No two seeds share random numbers, not even of different prompts.
    texts = [sample(["Go."] * 4, seed) for seed in (0, 1)]
    assert len({*texts[0], *texts[1]}) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0 or"),
        ({"temperature": 1e-4}, "temperature must be 0 or at least 0.001, got 0.0001"),
        ({"temperature": float("inf")}, "temperature must be finite, got inf"),
        ({"temperature": float("nan")}, "temperature must be a number, got nan"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_sampling_that_can_not_be(options, message):
    with pytest.raises(RoleLensError, match=message):
        Sampling(**options)


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ("", {}, "prompt 0 is empty"),
        ([], {}, "empty list"),
        ("Go.", {"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ("Go.", {"max_new_tokens": 1000}, "and 999 are to follow, more than .* context of 256"),
        ("Go.", {"patch": Patch.add(torch.ones(32), layer=9)}, "layer 9 is out of range"),
    ],
)
def test_bad_input(llama, prompts, options, message):
    with pytest.raises(RoleLensError, match=message):
        generate(llama, prompts, **options)


@pytest.mark.packaged
@pytest.mark.parametrize("tokens", ["all", "answer[:2]"])  # the others on tiny models
def test_packaged_model(packaged, tokens):
    """On a real model, with a real system prompt in the template and different lengths."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(packaged.cfg.d_model, generator=generator)
    patch = Patch.add(direction, layer=15, coefficient=3.0, tokens=tokens)
    options = {"patch": patch, "max_new_tokens": 12}
    batched = generate(packaged, PROMPTS, **options)
    assert generate(packaged, PROMPTS, sampling=Sampling(use_cache=False), **options) == batched
    assert [generate(packaged, p, **options) for p in PROMPTS] == batched
