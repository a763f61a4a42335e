"""What `load_model` is given, and what it says where it can't load it; with nothing asked on the
terminal, and no network."""

import builtins
import json
import re
import shutil
import socket
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import gguf
import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from tiny import CHAT_TEMPLATE, tiny_bridge, tiny_hf, tiny_tokenizer

from role_lens import RoleLensError, chat_text, encode_chat, load_model
from role_lens.loading.hub import OnHub
from role_lens.models import model_name
from role_lens.reporting import ModelOptions

TOKENS = torch.tensor([[5, 6, 7, 8]])
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
OWN_CODE = {"AutoConfig": "c.C", "AutoModelForCausalLM": "m.M", "AutoTokenizer": ["t.T", None]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Not the user's; and whatever asks on the terminal fails."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache"))

    def asked(*prompt):
        raise AssertionError(f"asked on the terminal: {prompt}")

    monkeypatch.setattr(builtins, "input", asked)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model folder."""
    folder = tmp_path_factory.mktemp("whole") / "small"
    tiny_hf("llama").save_pretrained(folder, max_shard_size="60KB")
    tiny_tokenizer(template=CHAT_TEMPLATE).save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 2
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "small")


def logits(model):
    with torch.no_grad():
        return model(TOKENS)


def refused(*arguments, **options):
    """The message, which is one line."""
    with pytest.raises(RoleLensError) as caught:
        load_model(*arguments, **options)
    (line,) = str(caught.value).splitlines()
    return line


def delete(folder, *patterns):
    for pattern in patterns:
        for file in list(folder.glob(pattern)):
            file.unlink()


def reconfigured(**changes):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


def saved_as(kind, config):
    """The folder of another model, with the same tokenizer."""

    def change(folder):
        delete(folder, "*.safetensors*", "config.json")
        kind(config).save_pretrained(folder)

    return change


def last_shard(folder):
    return sorted(folder.glob("*.safetensors"))[-1]


def cut(folder):
    content = last_shard(folder).read_bytes()
    last_shard(folder).write_bytes(content[: len(content) // 2])


def inside(folder):
    (folder / "checkpoint-500").mkdir()
    for file in list(folder.glob("*.*")):
        file.rename(folder / "checkpoint-500" / file.name)


def adapter_beside(folder):
    shutil.copy(folder / last_shard(folder), folder / "model.safetensors")
    (folder / "adapter_config.json").write_text("{}")


SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 300}
LLAMA = transformers.LlamaConfig(**SIZES, intermediate_size=8)
DAMAGES = {
    "empty": (lambda f: delete(f, "*"), "it is empty, expected config.json, weights and tok"),
    "no config": (lambda f: delete(f, "config.json"), "it holds no config.json, expected what"),
    "no weights": (lambda f: delete(f, "*.safetensors*"), "holds no weights, expected model.safe"),
    "no tokenizer": (lambda f: delete(f, "tok*", "*.jinja", "spe*"), "it holds no tokenizer, such"),
    "a shard is missing": (lambda f: last_shard(f).unlink(), r"it lacks 1 of its \d files of w"),
    "a shard is cut off": (cut, r"-0000\d-of-0000\d.safetensors is damaged or cut off"),
    "a shard is empty": (lambda f: last_shard(f).write_bytes(b""), "is damaged or cut off"),
    "a pointer": (lambda f: last_shard(f).write_text(POINTER), "run `git lfs pull`"),
    "a damaged index": (
        lambda f: (f / "model.safetensors.index.json").write_text("{"),
        "index.json is damaged",
    ),
    "a damaged config": (lambda f: (f / "config.json").write_text("{"), "config.json"),
    "folders inside": (inside, r"but folders with one: name one of them \(checkpoint-500\)"),
    "an adapter beside it": (adapter_beside, "holds a whole model and an adapter"),
    "a type that nobody knows": (reconfigured(model_type="weird"), "weird"),
    "own code": (
        reconfigured(model_type="weird", auto_map=OWN_CODE),
        r"code that comes with it.*hand over both: load_model\(hf_model, tokenizer=tokenizer\)",
    ),
    "an encoder": (
        saved_as(
            transformers.BertForMaskedLM, transformers.BertConfig(**SIZES, intermediate_size=8)
        ),
        r"a masked \(encoder-only\) language model \(BertForMaskedLM\): expected a decoder-only",
    ),
    "an encoder and a decoder": (
        saved_as(
            transformers.T5ForConditionalGeneration,
            transformers.T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2),
        ),
        r"an encoder-decoder model \(T5ForConditionalGeneration\)",
    ),
    "images": (
        saved_as(
            transformers.ViTModel,
            transformers.ViTConfig(
                hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
            ),
        ),
        r"a model of images \(ViTModel\)",
    ),
    "a classifier": (
        saved_as(transformers.LlamaForSequenceClassification, LLAMA),
        r"a model for another task \(LlamaForSequenceClassification\)",
    ),
    "no unembedding": (saved_as(transformers.LlamaModel, LLAMA), "lacks weights.*lm_head.weight"),
    "an architecture that is not supported": (
        saved_as(
            transformers.BioGptForCausalLM,
            transformers.BioGptConfig(**SIZES, intermediate_size=8),
        ),
        r"architecture BioGptForCausalLM, which TransformerLens \d.* doesn't support",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_a_folder_lacks_is_said(name, folder):
    damage, message = DAMAGES[name]
    damage(folder)
    assert re.search(message, refused(folder)), refused(folder)


def test_code_of_a_tokenizer_is_not_run_either(folder):
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"tokenizer_class": "Odd", "auto_map": OWN_CODE}))
    (folder / "t.py").write_text("raise AssertionError('run')")
    delete(folder, "tokenizer.json")
    assert "can't load the tokenizer" in refused(folder)


def test_a_checkpoint_takes_the_tokenizer_that_it_is_given(folder, whole):
    """Also on the command line it is said where the tokenizer may be."""
    delete(folder, "tok*", "*.jinja", "spe*")
    for given in (whole, str(whole), tiny_tokenizer(template=CHAT_TEMPLATE)):
        model = load_model(folder, tokenizer=given)
        assert model.tokenizer.chat_template == CHAT_TEMPLATE
        assert torch.equal(logits(model), logits(load_model(whole)))
    with pytest.raises(RoleLensError, match="copy the tokenizer files of the model"):
        ModelOptions(str(folder)).load()
    tiny_tokenizer(template=None).save_pretrained(folder.parent)
    assert f"load_model(..., tokenizer='{folder.parent}')" in refused(folder)


def test_a_given_tokenizer_takes_the_place_of_the_folders(whole):
    other = tiny_tokenizer(template=None, merged=("zebra",))
    model = load_model(whole, tokenizer=other)
    assert model.tokenizer.chat_template is None
    assert model.tokenizer.convert_tokens_to_ids("zebra") == other.convert_tokens_to_ids("zebra")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "a transformers model comes without its tokenizer: load_model(model, tokenizer=t"),
        (3, "tokenizer must be a transformers tokenizer, a folder or a Hugging Face id, got int"),
        ("nowhere/at-all", "can't load the tokenizer 'nowhere/at-all': it is no local folder and"),
        ("/no/such/folder", "there is no tokenizer at '/no/such/folder': expected a folder, or a"),
        ("a b/c", "there is no tokenizer at 'a b/c'"),
        ("", "there is no tokenizer at ''"),
        (Path("gpt2"), "there is no tokenizer at 'gpt2'"),
        (__file__, "there is no tokenizer at"),
        ("x" * 5000, "there is no tokenizer at"),
    ],
)
def test_what_is_no_tokenizer_is_refused(given, message):
    assert message in refused(tiny_hf("llama"), tokenizer=given)


@pytest.mark.parametrize(
    "name", ["./model", "/x/y", "~\\x", "a/b/c", "..\\model", "", Path("gpt2"), "w.safetensors"]
)
def test_a_path_to_nothing_is_not_taken_for_an_id(name):
    assert "there is no model at" in refused(name) or "can't find" in refused(name)


def test_files_that_are_no_models(tmp_path, whole):
    for file in (whole / "config.json", last_shard(whole)):
        assert "name the folder that it is in" in refused(file)


def tiny_gguf(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 1)
    writer.add_tensor("token_embd.weight", np.zeros((64, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_gguf_files_that_are_not_whole(tmp_path):
    file = tmp_path / "m.gguf"
    content = tiny_gguf(file)
    for damaged, message in (
        (b"", "no GGUF file"),
        (b"PK\x03\x04", "no GGUF file"),
        (POINTER.encode(), "run `git lfs pull`"),
        (content[:20], "damaged or cut off"),
        (content[:-100], "damaged or cut off"),
        (content, "can't convert"),  # it is whole, but no model
    ):
        file.write_bytes(damaged)
        assert message in refused(file)
    assert list((tmp_path / "cache" / "models").iterdir()) == []
    (tmp_path / "folder").mkdir()
    file.rename(tmp_path / "folder" / file.name)
    assert "but GGUF files: name one of them (m.gguf)" in refused(tmp_path / "folder")


def whole_gguf(path, leave_out=""):
    """A file that transformers can convert, but for one tensor."""
    tokenizer = tiny_tokenizer(template=None, merged=("ab",))
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer = gguf.GGUFWriter(path, "llama")
    for name, number in {
        "block_count": 1, "context_length": 64, "embedding_length": 8, "feed_forward_length": 8,
        "attention.head_count": 2, "attention.head_count_kv": 2, "rope.dimension_count": 4,
        "vocab_size": len(words),
    }.items():  # fmt: skip
        writer.add_uint32(f"llama.{name}", number)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(1)
    writer.add_bos_token_id(3)
    shapes = {"token_embd": (len(words), 8), "output_norm": (8,), "output": (len(words), 8)}
    shapes |= {f"blk.0.{name}_norm": (8,) for name in ("attn", "ffn")}
    shapes |= {f"blk.0.attn_{name}": (8, 8) for name in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{name}": (8, 8) for name in ("gate", "up", "down")}
    for name, shape in shapes.items():
        if name != leave_out:
            writer.add_tensor(f"{name}.weight", np.full(shape, 0.5, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", ["m.gguf", ".hidden.gguf", f"{'ü' * 120}.gguf"])
def test_a_converted_file_is_kept(tmp_path, name):
    file = whole_gguf(tmp_path / name)
    assert model_name(load_model(file)) == file.stem
    (kept,) = (tmp_path / "cache" / "models").iterdir()
    assert not kept.name.startswith(".")
    before = kept.stat().st_mtime_ns
    load_model(file)
    assert [one.stat().st_mtime_ns for one in (tmp_path / "cache" / "models").iterdir()] == [before]


def test_a_gguf_file_that_lacks_weights(tmp_path):
    file = whole_gguf(tmp_path / "m.gguf", leave_out="blk.0.ffn_up")
    assert re.search("lacks weights.*1 tensors.*up_proj", refused(file)), refused(file)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_parts_of_a_gguf_file(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m-00001-of-00002.gguf", "llama")
    writer.add_uint16("split.count", 2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert "llama-gguf-split --merge" in refused(tmp_path / "m-00001-of-00002.gguf")


# Models that are handed over


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_transformers_model_and_its_tokenizer(architecture):
    hf_model, tokenizer = tiny_hf(architecture), tiny_tokenizer(template=CHAT_TEMPLATE)
    model = load_model(hf_model, tokenizer=tokenizer)
    torch.testing.assert_close(logits(model), logits(tiny_bridge(architecture)), rtol=0, atol=0)
    assert not model.training
    assert not model.original_model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.tokenizer.chat_template == CHAT_TEMPLATE
    patterns = []
    model.run_with_hooks(
        TOKENS, fwd_hooks=[("blocks.1.attn.hook_pattern", lambda x, hook: patterns.append(x))]
    )
    assert patterns


def test_the_callers_model_stays_as_it_was():
    hf_model = tiny_hf("llama", attention_dropout=0.5)
    hf_model.set_attn_implementation("sdpa")
    hf_model.train()
    hf_model.lm_head.weight.requires_grad_(False)
    modules = {name: type(module) for name, module in hf_model.named_modules()}
    model = load_model(hf_model, tokenizer=tiny_tokenizer(template=None))
    assert {name: type(module) for name, module in hf_model.named_modules()} == modules
    assert hf_model.training
    assert hf_model.config._attn_implementation == "sdpa"
    frozen = [name for name, one in hf_model.named_parameters() if not one.requires_grad]
    assert frozen == ["lm_head.weight"]
    assert torch.equal(logits(model), logits(model))  # no dropout
    # The weights take no second place in memory, so that a training goes on to be seen.
    before = logits(model)
    with torch.no_grad():
        hf_model.lm_head.weight.mul_(2)
    torch.testing.assert_close(logits(model), 2 * before)


def test_type_and_name_are_the_models_own(whole):
    hf_model = transformers.AutoModelForCausalLM.from_pretrained(whole, dtype=torch.bfloat16)
    model = load_model(hf_model, tokenizer=whole)
    assert model.cfg.dtype == logits(model).dtype == torch.bfloat16
    assert model_name(model) == "small"
    for options in ({"dtype": "float32"}, {"device": "cpu"}):
        assert "already built" in refused(hf_model, tokenizer=whole, **options)


def test_tied_weights_stay_tied():
    hf_model = tiny_hf("gpt2")
    model = load_model(hf_model, tokenizer=tiny_tokenizer(template=None))
    with torch.no_grad():
        hf_model.transformer.wte.weight.mul_(2)
    assert hf_model.lm_head.weight is hf_model.transformer.wte.weight
    fresh = load_model(hf_model, tokenizer=tiny_tokenizer(template=None))
    torch.testing.assert_close(logits(model), logits(fresh))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: transformers.LlamaModel(LLAMA), "no unembedding (LlamaModel)"),
        (lambda: transformers.LlamaForSequenceClassification(LLAMA), "no unembedding"),
        (
            lambda: transformers.BertForMaskedLM(
                transformers.BertConfig(**SIZES, intermediate_size=8)
            ),
            "a masked (encoder-only) language model",
        ),
        (lambda: None, "got NoneType"),
        (lambda: tiny_hf("llama").state_dict(), "weights alone are no model"),
        (lambda: tiny_tokenizer(template=None), "give the model first, and this as tokenizer="),
        (lambda: torch.nn.DataParallel(tiny_hf("llama")), "give the model in it, .module"),
        (lambda: tiny_hf("llama").config, "got LlamaConfig"),
    ],
)
def test_what_is_no_language_model(given, message):
    assert message in refused(given(), tokenizer=tiny_tokenizer(template=None))


def test_what_was_changed_in_a_tokenizer_is_kept():
    """Though TransformerLens reads tokenizers again from where they came from."""
    tokenizer = tiny_tokenizer(template=None)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.add_tokens(["zebra"])
    made_here = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer, bos_token="<|bos|>", eos_token="<|end|>"
    )
    made_here.chat_template = CHAT_TEMPLATE
    for given in (tokenizer, made_here):
        model = load_model(tiny_hf("llama"), tokenizer=given)
        assert model.tokenizer.chat_template == CHAT_TEMPLATE
        assert model.tokenizer.tokenize("a zebra")[-1] == "zebra"
        assert model.tokenizer is not given


def test_a_tokenizer_where_the_cache_can_not_be_written_to(tmp_path, monkeypatch):
    """As in many containers: it is asked in the same way."""
    tokenizers = tiny_tokenizer(template=CHAT_TEMPLATE), tiny_tokenizer(template=None)
    kept = [load_model(tiny_hf("llama"), tokenizer=one) for one in tokenizers]
    (tmp_path / "file").touch()
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "file" / "x"))
    for one, model in zip(tokenizers, kept, strict=True):
        copied = load_model(tiny_hf("llama"), tokenizer=one)
        assert copied.tokenizer is not one
        assert encode_chat(copied, ["Tea?"]) == encode_chat(model, ["Tea?"])


def test_a_tokenizer_with_several_chat_templates():
    tokenizer = tiny_tokenizer(template=None)
    tokenizer.chat_template = {"default": CHAT_TEMPLATE, "tool_use": "{{ tools }}"}
    model = load_model(tiny_hf("llama"), tokenizer=tokenizer)
    assert model.tokenizer.chat_template == tokenizer.chat_template
    assert chat_text(model, "Tea?") == "<|start|>user\nTea?<|end|>\n<|start|>assistant\n"
    tokenizer.chat_template = {"tool_use": "{{ tools }}", "rag": "{{ documents }}"}
    model = load_model(tiny_hf("llama"), tokenizer=tokenizer)
    with pytest.raises(RoleLensError, match=r"several chat templates \(.*\) and none is called"):
        chat_text(model, "Tea?")


class Letters(transformers.PreTrainedTokenizer):
    """As they come with some models: of a class that transformers doesn't have."""

    vocab_size = 256

    def get_vocab(self):
        return {chr(i): i for i in range(256)} | self.added_tokens_encoder

    def _tokenize(self, text, **options):
        return list(text)

    def _convert_token_to_id(self, token):
        return min(ord(token[0]), 255)

    def _convert_id_to_token(self, index):
        return chr(index)

    def save_vocabulary(self, save_directory, filename_prefix=None):
        return ()


def test_a_tokenizer_of_a_class_of_its_own():
    model = load_model(tiny_hf("llama"), tokenizer=Letters(bos_token="<b>", eos_token="<e>"))
    assert model.tokenizer("abc")["input_ids"] == [97, 98, 99]


def test_tokenizers_of_all_sorts(tmp_path):
    """Without a fast form, and with fewer or more tokens than the embedding has."""
    slow = transformers.ByT5Tokenizer()
    assert not slow.is_fast
    few = tiny_tokenizer(template=None)
    many = tiny_tokenizer(template=None, merged=tuple(f"word{i}" for i in range(200)))
    assert len(few) < 300 < len(many)
    for given in (slow, few, many):
        folder = tmp_path / f"model-{len(given)}"
        tiny_hf("llama", vocab_size=300).save_pretrained(folder)
        given.save_pretrained(folder)
        model = load_model(folder)
        assert model.tokenizer("ab")["input_ids"][-2:] != []
        assert len(load_model(tiny_hf("llama"), tokenizer=given).tokenizer) == len(model.tokenizer)


def test_a_transformerlens_model_is_put_into_evaluation_mode():
    model = tiny_bridge("gpt2", seed=21)
    model.train()
    assert not torch.equal(logits(model), logits(model))  # as a Trainer leaves it
    assert load_model(model) is model
    assert torch.equal(logits(model), logits(model))
    assert "which has one" in refused(model, tokenizer=tiny_tokenizer(template=None))


# Adapters


def test_an_adapter_without_peft(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    said = refused(adapter)
    assert "an adapter (such as LoRA's) of the base model 'org/base'" in said
    assert "pip install peft" in said
    assert "load_model(merged, tokenizer=tokenizer)" in said
    (adapter / "adapter_config.json").write_text("{}")
    assert "adapter_config.json can't be read" in refused(adapter)


@pytest.fixture
def adapted(whole):
    """A model of peft's with an adapter that does something, and how the base model is loaded."""
    peft = pytest.importorskip("peft")
    base = transformers.AutoModelForCausalLM.from_pretrained(whole)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    torch.manual_seed(0)
    model = peft.get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    return model


def test_an_adapter_is_merged_into_its_base(adapted, whole, tmp_path, monkeypatch):
    adapted.eval().save_pretrained(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(whole)
    with torch.no_grad():
        wanted = adapted(TOKENS).logits
    model = load_model(tmp_path / "adapter")
    torch.testing.assert_close(logits(model), wanted)
    assert model_name(model) == "adapter"
    assert model.tokenizer.chat_template == CHAT_TEMPLATE
    assert (logits(load_model(whole)) - wanted).abs().max() > 0.1
    put_into_cache(tmp_path / "adapter", tmp_path / "hub", "org/adapter")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    from_hub = load_model("org/adapter")
    assert model_name(from_hub) == "org/adapter"
    assert torch.equal(logits(from_hub), logits(model))
    config["base_model_name_or_path"] = "org/no-such-base"
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    assert "needs its base model 'org/no-such-base'" in refused(tmp_path / "adapter")


def test_a_model_that_peft_has_wrapped(adapted, whole):
    with torch.no_grad():
        wanted = adapted.eval()(TOKENS).logits
    model = load_model(adapted, tokenizer=whole)
    torch.testing.assert_close(logits(model), wanted)
    with torch.no_grad():
        assert torch.equal(adapted(TOKENS).logits, wanted)
    assert any("lora_" in name for name, _ in adapted.named_parameters())
    assert any(parameter.requires_grad for parameter in adapted.parameters())


# Settings of the caller's


@contextmanager
def default(set_default, before, value):
    set_default(value)
    try:
        yield
    finally:
        set_default(before)


@pytest.mark.parametrize(
    "surroundings",
    [
        lambda: default(torch.set_default_dtype, torch.float32, torch.float64),
        lambda: default(torch.set_default_dtype, torch.float32, torch.bfloat16),
        lambda: default(torch.set_default_device, None, "meta"),
        lambda: torch.device("meta"),
        torch.inference_mode,
        torch.no_grad,
    ],
)
def test_the_same_model_whatever_torch_is_set_to(whole, surroundings):
    usual = load_model(whole)
    with surroundings():
        models = [load_model(whole)]
    with torch.inference_mode():
        hf_model = transformers.AutoModelForCausalLM.from_pretrained(whole)
    with surroundings():
        models.append(load_model(hf_model, tokenizer=whole))
    for model in models:
        torch.testing.assert_close(logits(model), logits(usual), rtol=0, atol=0)
        # There are gradients, as attribution needs them.
        start = model.original_model.get_input_embeddings()(TOKENS).requires_grad_()
        model.original_model(inputs_embeds=start).logits.sum().backward()
        assert start.grad is not None


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there(whole, device):
    assert f"device must be one that is there, such as 'cpu' or 'cuda', got {device!r}" in refused(
        whole, device=device
    )


# The Hugging Face hub


@pytest.fixture
def deaf(monkeypatch, tmp_path):
    """A hub that hangs up on every call, and counts them; the local cache is empty.

    Patched inside the hub's client, which reads the environment only when it is imported.
    """
    server = socket.create_server(("127.0.0.1", 0))
    calls = []

    def hang_up():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            calls.append(1)
            connection.close()

    threading.Thread(target=hang_up, daemon=True).start()
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield calls
    server.close()


def put_into_cache(whole, hub, name="org/tiny"):
    folder, commit = hub / f"models--{name.replace('/', '--')}", "0" * 39 + "1"
    shutil.copytree(whole, folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def test_a_cached_model_loads_where_the_hub_can_not_be_reached(deaf, whole, tmp_path):
    cached = put_into_cache(whole, tmp_path / "hub")
    model = load_model("org/tiny")
    assert len(deaf) <= 2
    assert model_name(model) == "org/tiny"
    assert torch.equal(logits(model), logits(load_model(whole)))
    assert not huggingface_hub.constants.HF_HUB_OFFLINE  # for the next model
    assert len(load_model(tiny_hf("llama"), tokenizer="org/tiny").tokenizer)
    assert len(deaf) <= 4
    last_shard(cached).unlink()
    assert "it lacks 1 of its" in refused("org/tiny")


def test_a_cached_model_is_loaded_as_from_its_folder(deaf, whole, tmp_path):
    """Also under an older name of TransformerLens's, and in another precision."""
    put_into_cache(whole, tmp_path / "hub", "gpt2")
    model = load_model("gpt2-small", dtype="float64")
    assert model_name(model) == "gpt2"
    assert model.cfg.dtype == torch.float64
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(logits(model), logits(load_model(whole, dtype="float64")))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no unembedding", "lacks weights of the model that it says it is.*lm_head.weight"),
        ("no weights", "can't load the model 'org/tiny': it holds no weights, expected"),
        ("no tokenizer", "can't load the model 'org/tiny': it holds no tokenizer, such"),
        ("an encoder", r"org/tiny is a masked \(encoder-only\) language model"),
    ],
)
def test_what_a_cached_model_lacks_is_said(deaf, folder, tmp_path, name, message):
    damage, _ = DAMAGES[name]
    damage(folder)
    put_into_cache(folder, tmp_path / "hub")
    assert re.search(message, refused("org/tiny")), refused("org/tiny")


def test_a_tokenizer_alone_is_found_in_the_cache(deaf, folder, tmp_path):
    delete(folder, "*.safetensors*", "config.json")
    put_into_cache(folder, tmp_path / "hub")
    model = load_model(tiny_hf("llama"), tokenizer="org/tiny")
    assert model.tokenizer.chat_template == CHAT_TEMPLATE
    assert refused("org/tiny").startswith("can't load the model 'org/tiny': it is no local folder")


def test_threads_without_a_network_leave_it_as_it_was(monkeypatch):
    """Though the setting of the hub's client is the whole process's."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    found = OnHub("org/tiny", None, "no route to host")
    first, second = found.network(), found.network()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert constants.HF_HUB_OFFLINE
    second.__exit__(None, None, None)
    assert not constants.HF_HUB_OFFLINE


def test_a_model_that_is_not_cached_says_so_at_once(deaf):
    said = refused("org/other")
    assert len(deaf) <= 2
    assert said.startswith("can't load the model 'org/other': it is no local folder and not in the")
    assert "hub can't be reached" in said
