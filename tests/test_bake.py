"""Weights with a patch in them: logits are those of the hooks."""

import json

import pytest
import torch
import transformers
from tiny import CHAT_TEMPLATE, QUIET, tiny_hf, tiny_tokenizer
from tiny_families import with_random_weights

from role_lens import Patch, RoleLensError, RoleVectors, load_model
from role_lens.cli import main
from role_lens.interop import bake, export_patch

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
    assert "with a patch in its weights" in (tmp_path / "baked" / "README.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "baked"}


@pytest.mark.parametrize("kind", ["add", "ablate", "clamp", "add at 0"])
@pytest.mark.parametrize(
    "architecture",
    ["llama", "qwen2", "gpt2", "pythia", "opt", "gemma2", "gemma3", "olmo2", "olmo3"],
)
def test_lm_eval_does_what_the_hooks_do(architecture, kind, tmp_path):
    """Its own `steered` model, on the file that is written for it."""
    from lm_eval.models.hf_steered import SteeredModel

    source = saved(architecture, tmp_path / "model")
    model = load_model(source)
    direction = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(1))
    patch = {
        "add": Patch.add(direction, layer=(1, 2), coefficient=1.5),
        "ablate": Patch.ablate(direction),
        "clamp": Patch.clamp(direction, layer=2, value=3.0),
        "add at 0": Patch.add(direction, layer=0),
    }[kind]
    export_patch(patch, tmp_path / "p.pt", about={"model": str(source)})
    theirs = SteeredModel(str(source), str(tmp_path / "p.pt"), device="cpu", batch_size=1)
    with torch.inference_mode():
        found = theirs._model_call(TOKENS)
    torch.testing.assert_close(found.float(), logits(model, patch), atol=1e-4, rtol=1e-4)


def test_what_lm_eval_cannot_do_is_refused(tmp_path):
    source = saved("gpt2", tmp_path / "model")
    one = torch.ones(32)
    for patch, said in (
        (Patch.cap(one, layer=1, value=1.0), "kind 'cap' can't be expressed"),
        (Patch.ablate(one, tokens="prompt"), "kind 'ablate' can't be expressed"),
        (Patch.clamp(one, layer=0, value=1.0), "a sum of embeddings, which lm-eval can't clamp"),
        (
            (Patch.add(one, layer=1), Patch.clamp(one, layer=1, value=1.0)),
            "one change of h.0, and there are several",
        ),
    ):
        with pytest.raises(RoleLensError, match=said):
            export_patch(patch, tmp_path / "p.pt", about={"model": str(source)})
    with pytest.raises(RoleLensError, match="say which"):
        export_patch(Patch.add(one, layer=1), tmp_path / "p.pt")
    assert not (tmp_path / "p.pt").exists()


def test_a_window_is_no_matter_to_an_ablation(tmp_path):
    """Only biases need the same computation as Llama's, which has no windows."""
    source = saved("mistral", tmp_path / "model")
    config = json.loads((source / "config.json").read_text()) | {"sliding_window": 4}
    (source / "config.json").write_text(json.dumps(config))
    patch = Patch.ablate(torch.arange(32).float())
    baked = load_model(bake(source, patch, tmp_path / "baked"))
    want = logits(load_model(source), patch)
    torch.testing.assert_close(logits(baked), want, atol=1e-4, rtol=1e-4)
    with pytest.raises(RoleLensError, match="weights with sliding_window = 4 can't be baked"):
        bake(source, Patch.add(torch.ones(32), layer=1), tmp_path / "more")


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
    with pytest.raises(RoleLensError, match="'gemma3_text' has norms between its weights and"):
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
