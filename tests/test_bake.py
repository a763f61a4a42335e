"""Weights with a patch in them: logits are those of the hooks."""

import json

import pytest
import torch
import transformers
from tiny import CHAT_TEMPLATE, QUIET, tiny_hf, tiny_tokenizer
from tiny_families import with_random_weights

from role_lens import Patch, RoleLensError, RoleVectors, load_model
from role_lens.cli import main
from role_lens.interop import bake

MISTRAL = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "sliding_window"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"),
)
TOKENS = torch.tensor([[5, 40, 41, 42, 50, 7, 61]])
ROLES = {"poet": ["Rhyme?", "Ode!", "Scan."], "cook": ["Salt?", "Boil.", "Stew."]}
BASE = ["Tea?", "Lunch.", "So?"]


def saved(architecture, folder, **changes):
    if architecture == "mistral":
        config = tiny_hf("llama").config.to_dict() | {"sliding_window": None}
        config = transformers.MistralConfig(
            **{name: config[name] for name in config if name in MISTRAL}
        )
        model = with_random_weights(transformers.MistralForCausalLM(config).eval())
    else:
        model = tiny_hf(architecture, **changes)
    model.save_pretrained(folder)
    tiny_tokenizer(template=CHAT_TEMPLATE).save_pretrained(folder)
    return folder


@torch.inference_mode()
def logits(model, patch=None):
    if patch is None:
        return model(TOKENS)
    with patch.on(model):
        return model(TOKENS)


@pytest.mark.parametrize("kind", ["add", "ablate", "add at 0"])
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True}),
        ("mistral", {}),
        ("qwen2", {}),
        ("gpt2", {}),
        ("pythia", {}),
        ("opt", {}),
    ],
)
def test_baked_weights_do_what_the_hooks_do(architecture, changes, kind, tmp_path):
    source = saved(architecture, tmp_path / "model", **changes)
    model = load_model(source)
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(model.cfg.d_model, generator=generator)
    patch = {
        "add": Patch.add(direction, layer=(1, 2), coefficient=1.5),
        "ablate": Patch.ablate(direction),
        "add at 0": Patch.add(direction, layer=0),
    }[kind]
    baked = load_model(bake(source, patch, tmp_path / "baked"))
    want = logits(model, patch)
    assert (want - logits(model)).abs().max() > 1e-2
    torch.testing.assert_close(logits(baked), want, atol=1e-4, rtol=1e-4)
    assert "Patch(" in (tmp_path / "baked" / "README.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "baked"}


def test_large_models_are_written_in_parts(tmp_path):
    """Read from several files, and written to several, in their own type."""
    model = tiny_hf("llama").to(torch.bfloat16)
    model.save_pretrained(tmp_path / "model", max_shard_size="40KB")
    tiny_tokenizer(template=CHAT_TEMPLATE).save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors.index.json").exists()
    patch = Patch.ablate(torch.ones(32))
    out = bake(
        tmp_path / "model", patch, tmp_path / "baked", about={"role": "poet"}, largest_file=50_000
    )
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    before, after = (load_model(one, dtype="bfloat16") for one in (tmp_path / "model", out))
    want, found = logits(before, patch).float(), logits(after).float()
    assert (want - found).abs().max() < 0.1 * want.std()
    assert '"role": "poet"' in (out / "README.md").read_text()
    weights = load_model(out, dtype="bfloat16").state_dict()
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {
        torch.bfloat16
    }


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (Patch.clamp(torch.ones(32), layer=1, value=1.0), "kind 'clamp' can't be expressed"),
        (Patch.ablate(torch.ones(32), tokens="prompt"), "kind 'ablate' can't be expressed"),
        (Patch.add(torch.ones(32), layer=1, tokens="last"), "tokens='last' can't be expressed"),
        (Patch.add(torch.ones(8), layer=1), "the direction has 8 dimensions"),
        (Patch.add(torch.ones(32), layer=9), "layer 9 is out of range"),
        (None, "expected a patch to bake, got none"),
    ],
)
def test_what_weights_cannot_express_is_refused(patch, said, tmp_path):
    source = saved("llama", tmp_path / "model")
    with pytest.raises(RoleLensError, match=said) as error:
        bake(source, patch, tmp_path / "baked")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_other_models_and_places_are_refused(tmp_path):
    source, other = saved("llama", tmp_path / "model"), saved("gpt2", tmp_path / "other")
    vectors = RoleVectors.fit(load_model(source), ROLES, BASE, positions=[-1], compute=QUIET)
    patch = vectors.add("poet", layer=1)
    with pytest.raises(RoleLensError, match="from a model with other weights"):
        bake(other, patch, tmp_path / "baked")
    with pytest.raises(RoleLensError, match="exists: name a new folder"):
        bake(source, patch, other)
    with pytest.raises(RoleLensError, match="'gemma3_text' can't be baked, only those"):
        bake(saved("gemma3", tmp_path / "gemma"), patch, tmp_path / "baked")
    with pytest.raises(RoleLensError, match="is no local model: download it first"):
        bake("org/model", patch, tmp_path / "baked")
    (source / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(RoleLensError, match="can't read"):
        bake(source, patch, tmp_path / "baked")
    assert not (tmp_path / "baked").exists()


def test_the_command(tmp_path, capsys):
    source = saved("llama", tmp_path / "model")
    vectors = RoleVectors.fit(load_model(source), ROLES, BASE, positions=[-1], compute=QUIET)
    vectors.save(tmp_path / "v.safetensors")
    command = ["bake", "--vectors", f"{tmp_path}/v.safetensors", "--role", "poet", "--layer", "2"]
    command += ["--model", f"{source}", "--out", f"{tmp_path}/baked"]
    assert main(command) == 0
    assert "Patch(add, layers [2], value 1" in capsys.readouterr().out
    patch = vectors.add("poet", layer=2)
    want = logits(load_model(source), patch)
    torch.testing.assert_close(logits(load_model(tmp_path / "baked")), want, atol=1e-4, rtol=1e-4)
    assert '"role": "poet"' in (tmp_path / "baked" / "README.md").read_text()
    assert main(command) == 2
    assert "exists: name a new folder" in capsys.readouterr().err
