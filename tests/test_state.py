"""State that a caller may have left behind changes no result: threads, training mode, weights that
changed, types, devices and modes of torch."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from tiny import BASE, CHAT_TEMPLATE, QUIET, ROLES, tiny_bridge, tiny_hf, tiny_tokenizer
from transformer_lens.model_bridge import TransformerBridge

from role_lens import (
    Patch,
    Question,
    RoleLensError,
    RoleVectors,
    attribute,
    evaluate,
    generate,
    load_model,
)
from role_lens.patches import attached

QUESTIONS = [
    Question(f"q{n}", f"What is {n}?", ("red", "blue", "green"), n % 3, "x", "x") for n in range(4)
]


def scores(model, patch=None):
    return evaluate(model, QUESTIONS, {"x": patch}, compute=QUIET)["logprob_correct"].to_numpy()


@pytest.fixture
def fresh():
    """A model that a test may change."""
    return tiny_bridge("gpt2", tokenizer=tiny_tokenizer(template=CHAT_TEMPLATE))


def patches_of(vectors):
    return {
        "none": None,
        "add": vectors.add("poet", layer=1, coefficient=4.0),
        "minus": vectors.add("cook", layer=1, coefficient=-4.0),
        "ablate": vectors.ablate("poet", layer=2),
        "answer": vectors.add("poet", layer=2, coefficient=3.0, tokens="answer"),
    }


def test_threads_get_what_they_get_alone(llama, vectors):
    """Eight threads that generate and evaluate under different patches."""
    patches = patches_of(vectors)

    def both(name):
        text = generate(llama, "Say something", patch=patches[name], max_new_tokens=12)
        return name, text, scores(llama, patches[name])

    alone = {name: both(name)[1:] for name in patches}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(both, [*patches] * 4))
    for name, text, logprobs in found:
        assert text == alone[name][0]
        np.testing.assert_allclose(logprobs, alone[name][1], atol=1e-5)


def test_a_thread_waits_while_a_patch_is_attached(llama, vectors):
    patch = vectors.add("poet", layer=1, coefficient=4.0)
    plain, found = scores(llama), []
    other = threading.Thread(target=lambda: found.append(scores(llama)))
    with attached(llama, patch):
        other.start()
        other.join(0.3)
        assert not found
    other.join()
    np.testing.assert_allclose(found[0], plain, atol=1e-5)


def test_an_error_in_one_thread_leaves_the_model_free(llama):
    with pytest.raises(RoleLensError):
        generate(llama, "x" * 1000)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(generate, llama, "Hi", max_new_tokens=2).result(timeout=60) is not None


def test_training_mode_is_set_aside(fresh):
    expected = scores(fresh)
    fresh.train()
    some = fresh.original_model.transformer.drop
    for _ in range(2):
        np.testing.assert_array_equal(scores(fresh), expected)
    one, two = (RoleVectors.fit(fresh, ROLES, BASE, compute=QUIET) for _ in range(2))
    assert torch.equal(one.role_means, two.role_means)
    assert fresh.training
    assert some.training
    load_model(fresh)
    assert not fresh.training
    assert not some.training


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


STATES = {
    "float64 by default": lambda: default_dtype(torch.float64),
    "bfloat16 by default": lambda: default_dtype(torch.bfloat16),
    "another device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("state", STATES)
def test_torch_s_modes_change_nothing(llama, vectors, state):
    patch = vectors.add("poet", layer=1, coefficient=2.0)
    expected = scores(llama, patch)
    text = generate(llama, "Tea?", patch=patch, max_new_tokens=6)
    effects = attribute(llama, vectors, QUESTIONS, compute=QUIET)["effect"]
    with STATES[state]():
        fitted = RoleVectors.fit(llama, ROLES, BASE, positions=[-2, -1], compute=QUIET)
        again = fitted.add("poet", layer=1, coefficient=2.0)
        np.testing.assert_array_equal(scores(llama, again), expected)
        assert generate(llama, "Tea?", patch=again, max_new_tokens=6) == text
        found = attribute(llama, fitted, QUESTIONS, compute=QUIET)["effect"]
        np.testing.assert_array_equal(found, effects)
    assert fitted.role_means.dtype == torch.float32
    assert torch.equal(fitted.role_means, vectors.role_means)
    # What was made there can be trained on.
    leaf = fitted.direction("poet", layer=2).clone().requires_grad_()
    (leaf * fitted.direction("cook", layer=2)).sum().backward()
    assert leaf.grad is not None


@pytest.mark.parametrize("state", ["bfloat16 by default", "autocast", "another device"])
def test_what_is_set_inside_a_block_with_a_patch_changes_nothing(llama, vectors, state):
    patch = vectors.add("poet", layer=1, coefficient=2.0)
    with patch.on(llama):
        expected, text = scores(llama), generate(llama, "Tea?", max_new_tokens=6)
        with STATES[state]():
            np.testing.assert_array_equal(scores(llama), expected)
            assert generate(llama, "Tea?", max_new_tokens=6) == text


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps", "xpu"])
def test_autocast_is_off_on_every_device(llama, vectors, kind):
    torch.set_autocast_enabled(kind, True)
    try:
        with vectors.add("poet", layer=1).on(llama):
            assert not torch.is_autocast_enabled(kind)
        assert torch.is_autocast_enabled(kind)
    finally:
        torch.set_autocast_enabled(kind, False)


def test_training_mode_that_is_set_inside_a_block_is_set_aside_too(fresh):
    patch = Patch.add(torch.ones(32), layer=1)
    with patch.on(fresh):
        expected = scores(fresh)
        fresh.train()
        np.testing.assert_array_equal(scores(fresh), expected)
        assert fresh.training
    assert fresh.training


def test_a_type_that_is_set_in_the_meantime_stays(llama, vectors):
    with default_dtype(torch.float64):
        with vectors.add("poet", layer=1).on(llama):
            assert torch.get_default_dtype() == torch.float32
            torch.set_default_dtype(torch.bfloat16)
        assert torch.get_default_dtype() == torch.bfloat16
        with vectors.add("poet", layer=1).on(llama):
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.bfloat16


def change_in_place(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.25)


def change_behind_torch_s_back(model):
    for parameter in model.parameters():  # as merging a LoRA does
        parameter.data += torch.randn_like(parameter) * 0.25


def load_others(model):
    model.original_model.load_state_dict(
        {n: p + 0.25 * torch.randn_like(p) for n, p in model.original_model.state_dict().items()}
    )


@pytest.mark.parametrize("change", [change_in_place, change_behind_torch_s_back, load_others])
def test_vectors_are_of_the_weights_that_made_them(fresh, tmp_path, change):
    old = RoleVectors.fit(fresh, ROLES, BASE, positions=[-1], compute=QUIET)
    change(fresh)
    with pytest.raises(RoleLensError, match="other weights"):
        scores(fresh, old.add("poet", layer=1))
    new = RoleVectors.fit(fresh, ROLES, BASE, positions=[-1], compute=QUIET)
    scores(fresh, new.add("poet", layer=1))
    new.save(tmp_path / "new.safetensors")
    before = tiny_bridge("gpt2", tokenizer=tiny_tokenizer(template=CHAT_TEMPLATE))
    with pytest.raises(RoleLensError, match="other weights"):
        RoleVectors.load(tmp_path / "new.safetensors").check(before)
    old.check(before)


def test_rows_that_are_added_to_the_embedding_make_no_other_model(fresh):
    """Nor does another tokenizer object."""
    vectors = RoleVectors.fit(fresh, ROLES, BASE, positions=[-1], compute=QUIET)
    longer = tiny_hf("gpt2")
    longer.resize_token_embeddings(304, mean_resizing=False)
    padded = TransformerBridge.boot_transformers(
        "tiny-gpt2", hf_model=longer, tokenizer=fresh.tokenizer, device="cpu"
    )
    vectors.check(padded)
    padded.tokenizer = tiny_tokenizer(template=CHAT_TEMPLATE)
    vectors.check(padded)
    patch = vectors.add("poet", layer=1, coefficient=3.0)
    texts = [generate(m, "Tea?", patch=patch, max_new_tokens=6) for m in (fresh, padded)]
    assert texts[0] == texts[1]


def test_hooks_of_torch_s_own_are_refused(fresh):
    handle = fresh.original_model.transformer.h[1].register_forward_hook(lambda *args: None)
    with pytest.raises(RoleLensError, match=r"carries hooks: .*torch's with their handles"):
        RoleVectors.fit(fresh, ROLES, BASE, positions=[-1], compute=QUIET)
    handle.remove()
    RoleVectors.fit(fresh, ROLES, BASE, positions=[-1], compute=QUIET)


def again(tokenizer, folder):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def pad_added(tokenizer):
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})


def no_special_tokens(tokenizer):
    tokenizer.pad_token = tokenizer.eos_token = tokenizer.bos_token = None


@pytest.mark.parametrize("change", [pad_added, no_special_tokens])
def test_special_tokens_without_an_embedding(tmp_path, change):
    """Padding takes another token then, under the mask."""
    tokenizer = tiny_tokenizer(template=CHAT_TEMPLATE)
    change(tokenizer)
    odd = tiny_bridge("llama", tokenizer=again(tokenizer, tmp_path), vocab_size=260)
    plain = tiny_bridge("llama", tokenizer=tiny_tokenizer(template=CHAT_TEMPLATE), vocab_size=260)
    prompts = ["Hi", "A longer prompt than that"]
    means = [RoleVectors.fit(m, ROLES, BASE, positions=[-1], compute=QUIET) for m in (odd, plain)]
    assert torch.allclose(means[0].role_means, means[1].role_means, atol=1e-5)
    np.testing.assert_allclose(scores(odd), scores(plain), atol=1e-5)
    texts = generate(odd, prompts, max_new_tokens=3)
    assert texts == [generate(odd, prompt, max_new_tokens=3) for prompt in prompts]


def test_a_prompt_with_a_token_that_has_no_embedding_is_refused(tmp_path):
    tokenizer = tiny_tokenizer(template=CHAT_TEMPLATE)
    tokenizer.add_tokens(["<tool>"])
    model = tiny_bridge("llama", tokenizer=again(tokenizer, tmp_path), vocab_size=260)
    with pytest.raises(RoleLensError, match=r"holds token 260 .*<tool>.*resize its embedding"):
        generate(model, "Use <tool>")
