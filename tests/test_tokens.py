import pytest
import torch
from tiny import CHAT, CHAT_TEMPLATE, QUIET, tiny_bridge, tiny_tokenizer

from role_lens import (
    Asking,
    Question,
    RoleLensError,
    RoleVectors,
    chat_text,
    encode_chat,
    evaluate,
)
from role_lens._run.budget import Budget, in_batches
from role_lens._run.forward import last_logits, next_logits
from role_lens._run.residual_stream import residual_stream
from role_lens._run.tokens import encode_text, pad_left, post_instruction_tokens

TEXTS = ["Hi?", "A much longer prompt, to be padded against.", "Three."]


def test_post_instruction_tokens(model):
    suffix = post_instruction_tokens(model)
    text = model.tokenizer.decode(suffix)
    chat = model.cfg.model_name.removeprefix("tiny-") in CHAT
    assert text == ("<|end|>\n<|start|>assistant\n" if chat else "\n\nAssistant:")
    for ids in encode_chat(model, TEXTS):
        assert ids[-len(suffix) :] == suffix


def test_merged_endings_are_not_counted():
    """A tokenizer that joins the instruction's end with what follows it."""
    tokenizer = tiny_tokenizer(template=None, merged=("?\n\n", "t:"))
    model = tiny_bridge("llama", tokenizer=tokenizer)
    assert tokenizer.decode(post_instruction_tokens(model)) == "Assistant:"


def test_no_double_bos():
    with_bos = tiny_bridge(
        "llama", tokenizer=tiny_tokenizer(template="<|bos|>" + CHAT_TEMPLATE, adds_bos=True)
    )
    assert encode_chat(with_bos, ["Hi"])[0].count(3) == 1
    plain = tiny_bridge("llama", tokenizer=tiny_tokenizer(template=None, adds_bos=True))
    assert encode_chat(plain, ["Hi"])[0].count(3) == 1
    assert encode_text(plain, "<|bos|>Hi", special=True).count(3) == 1


def test_system_message(model):
    assert "Be brief." in chat_text(model, "Hi", "Be brief.")
    assert post_instruction_tokens(model, "Be brief.") == post_instruction_tokens(model)


def test_template_that_refuses():
    tokenizer = tiny_tokenizer(template="{{ raise_exception('no system role') }}")
    with pytest.raises(RoleLensError, match=r"chat template refuses.*no system role"):
        encode_chat(tiny_bridge("llama", tokenizer=tokenizer), ["Hi"], "Be brief.")


def test_template_that_leaves_system_messages_out():
    template = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"
    model = tiny_bridge("llama", tokenizer=tiny_tokenizer(template=template))
    assert chat_text(model, "Hi") == "Hi"
    with pytest.raises(RoleLensError, match="leaves system messages out"):
        chat_text(model, "Hi", "Be brief.")


def test_positions_that_differ_between_prompts_are_refused():
    template = "{% for m in messages %}{{ m['content'] }}{{ m['content'] | length }}{% endfor %}"
    model = tiny_bridge("llama", tokenizer=tiny_tokenizer(template=template))
    assert model.tokenizer.decode(post_instruction_tokens(model)) == "6"
    with pytest.raises(RoleLensError, match="not the same for every prompt"):
        RoleVectors.fit(model, {"poet": ["Rhyme"]}, ["Lunch!"], compute=QUIET)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "at least one of the prompts, got an empty list"),
        (["ok", " \n"], "prompt 1 is empty"),
        (["x" * 300], "more than the model's context of 256"),
    ],
)
def test_bad_prompts(llama, prompts, message):
    with pytest.raises(RoleLensError, match=message):
        encode_chat(llama, prompts)


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: encode_chat(model, ["a\ud800"]),
        lambda model: encode_chat(model, ["a"], "x" * 200 + "\udfff"),
        lambda model: evaluate(model, [asked("Q\ud800?")], {"b": None}, compute=QUIET),
        lambda model: evaluate(model, [asked("Q?", "a\ud800")], {"b": None}, CLOZE, compute=QUIET),
        lambda model: evaluate(model, [asked("Q?")], {"b": None}, system("\ud800"), compute=QUIET),
    ],
)
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, CHAT_TEMPLATE + " ", None])
def test_lone_surrogates(template, ask):
    """Halves of a character, which no tokenizer takes; also where a template ends in a space."""
    model = tiny_bridge("llama", tokenizer=tiny_tokenizer(template=template))
    with pytest.raises(RoleLensError, match=r"a text holds a lone surrogate.*'[^']*\\ud"):
        ask(model)


CLOZE = Asking("cloze")


def system(message):
    return Asking(system=message)


def asked(question, *options):
    return Question("q", question, (*options, "red", "blue"), 0, "s", "d")


def test_batches_hold_everything_once_and_keep_to_the_budget(llama):
    sequences = [[1] * n for n in (5, 90, 3, 40, 41, 7)]
    found = [batch for batch, _ in in_batches(llama, sequences, Budget(82), lambda batch: 0)]
    assert sorted(i for batch in found for i in batch.index) == list(range(6))
    for batch in found:
        assert batch.tokens.numel() <= 82 or len(batch.index) == 1
        for row, i in enumerate(batch.index):
            assert int(batch.mask[row].sum()) == len(sequences[i])
            assert batch.mask[row, -1] == 1


def test_batched_equals_one_by_one(model):
    sequences = encode_chat(model, TEXTS)
    together = pad_left(model, sequences, range(3))
    resid = residual_stream(model, together, [-3, -1])
    logits = last_logits(model, together, 2)
    for i, ids in enumerate(sequences):
        alone = pad_left(model, [ids], [i])
        torch.testing.assert_close(
            residual_stream(model, alone, [-3, -1])[:, 0], resid[:, i], atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(last_logits(model, alone, 2)[0], logits[i], atol=1e-4, rtol=1e-4)


def test_residual_stream_is_the_models_own(model):
    batch = pad_left(model, encode_chat(model, TEXTS[:1]), [0])
    _, cache = model.run_with_cache(batch.tokens)
    resid = residual_stream(model, batch, [-2])
    for layer in range(model.cfg.n_layers):
        expected = cache[f"blocks.{layer}.hook_resid_pre"][0, -2]
        torch.testing.assert_close(resid[layer, 0, 0], expected, atol=1e-5, rtol=1e-5)
    full = model(batch.tokens)
    torch.testing.assert_close(last_logits(model, batch, 1)[0, 0], full[0, -1])


def test_cached_logits_equal_whole_passes(model):
    batch = pad_left(model, encode_chat(model, TEXTS), range(3))
    tokens, mask = batch.tokens, batch.mask
    logits, cache = next_logits(model, tokens, mask)
    for _ in range(3):
        tokens = torch.cat([tokens, logits.argmax(-1)[:, None]], dim=1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        logits, cache = next_logits(model, tokens[:, -1:], mask, cache)
        whole, _ = next_logits(model, tokens, mask)
        torch.testing.assert_close(logits, whole, atol=1e-4, rtol=1e-4)


def test_one_layer_model():
    model = tiny_bridge("llama", num_hidden_layers=1, layer_types=None)
    batch = pad_left(model, encode_chat(model, ["Hi"]), [0])
    assert residual_stream(model, batch, [-1]).shape == (1, 1, 1, 32)
