"""Other people's vectors: each format read as its own program writes it, and what is refused."""

import json
import pickle

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import QUIET

from role_lens import (
    Exam,
    Grid,
    Question,
    RoleLensError,
    RoleVectors,
    Selection,
    TestPlan,
    cli,
    compare,
    generate,
)
from role_lens.interop import IMPORTS, ImportOptions, import_vectors

D = 32
FIRST, SECOND = torch.arange(D).float() + 1, -torch.ones(D)


def control_vector(path, directions, arch="controlvector"):
    """As repeng's `ControlVector.export_gguf` writes it."""
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_string(f"{arch}.model_hint", "llama")
    writer.add_uint32(f"{arch}.layer_count", len(directions))
    for layer, direction in directions.items():
        writer.add_tensor(f"direction.{layer}", direction)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def at(vectors, role, layer):
    return vectors.direction(role, layer=layer, contrast="imported")


def test_control_vectors(llama, tmp_path):
    """Of a block's output: layer 1 of the file enters block 2."""
    path = control_vector(tmp_path / "happy.gguf", {1: FIRST.numpy(), 0: SECOND.numpy()})
    vectors = import_vectors(llama, path)
    assert vectors.roles == ("happy",)
    torch.testing.assert_close(at(vectors, "happy", 2), FIRST)
    torch.testing.assert_close(at(vectors, "happy", 1), SECOND)
    assert at(vectors, "happy", 0).isnan().all()
    assert vectors.provenance["model_hint"] == "llama"
    assert vectors.provenance["layer_convention"] == "output"


@pytest.mark.parametrize(
    "content",
    [
        {0: FIRST, 1: SECOND},  # SteeringVector.layer_activations
        {"vector": torch.stack([FIRST, SECOND]), "type": "pos_3", "role": "poet"},  # assistant axis
        {"axis": torch.stack([FIRST, SECOND]), "metadata": {"n": 1}},
        torch.stack([FIRST, SECOND]).bfloat16(),
    ],
)
def test_files_of_torch(content, llama, tmp_path):
    torch.save(content, tmp_path / "poet.pt")
    vectors = import_vectors(llama, tmp_path / "poet.pt")
    assert vectors.roles == ("poet",)
    torch.testing.assert_close(at(vectors, "poet", 1), FIRST)
    torch.testing.assert_close(at(vectors, "poet", 2), SECOND)


@pytest.mark.parametrize(
    ("arrays", "options", "layer"),
    [
        ({"steering": FIRST}, ImportOptions(layer_map={"steering": 2}), 2),
        ({"blocks.1.hook_resid_post": FIRST}, ImportOptions(), 2),
        ({"blocks.1.hook_resid_pre": FIRST}, ImportOptions(), 1),
        ({"layer_1": FIRST}, ImportOptions(convention="input"), 1),
        ({"1": FIRST}, ImportOptions(convention="output"), 2),
        ({"all": torch.stack([SECOND, FIRST])}, ImportOptions(convention="input"), 1),
    ],
)
@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_plain_arrays(arrays, options, layer, ending, llama, tmp_path):
    path = tmp_path / f"happy.{ending}"
    if ending == "npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in arrays.items()})
    else:
        save_file(arrays, path)
    torch.testing.assert_close(at(import_vectors(llama, path, options), "happy", layer), FIRST)


def sae(folder, hook="blocks.1.hook_resid_post", **more):
    folder.mkdir()
    (folder / "cfg.json").write_text(json.dumps({"d_in": D, "hook_name": hook, **more}))
    save_file({"W_dec": torch.stack([SECOND, FIRST])}, folder / "sae_weights.safetensors")
    return folder


def test_latents_of_an_sae(llama, tmp_path):
    vectors = import_vectors(llama, sae(tmp_path / "sae"), ImportOptions(rows=(1, 0)))
    assert vectors.roles == ("latent 1", "latent 0")
    torch.testing.assert_close(at(vectors, "latent 1", 2), FIRST)
    newer = sae(tmp_path / "newer", hook=None, metadata={"hook_name": "blocks.2.hook_resid_pre"})
    vectors = import_vectors(llama, newer, ImportOptions(role="happy", rows=(1,)))
    torch.testing.assert_close(at(vectors, "happy", 2), FIRST)


def test_everything_works_on_them(llama, tmp_path, monkeypatch):
    """Saved and loaded, steered with, compared beside random directions."""
    torch.save({0: 0.02 * FIRST, 1: 0.3 * SECOND}, tmp_path / "poet.pt")
    imported = import_vectors(llama, tmp_path / "poet.pt")
    imported.save(tmp_path / "poet.safetensors")
    vectors = RoleVectors.load(tmp_path / "poet.safetensors")
    assert vectors.contrasts == ("imported",)
    patch = vectors.add("poet", layer=1, contrast="imported")
    assert isinstance(generate(llama, "Hello?", patch=patch, max_new_tokens=2), str)
    with pytest.raises(RoleLensError, match="unknown contrast 'base': the vectors have imported"):
        vectors.add("poet", layer=1)
    asked = [
        Question(f"q{i}", f"Which is {i}?", ("a", "bc", "def"), i % 3, "s", "verse")
        for i in range(40)
    ]
    exam = Exam(asked, domains={"poet": "verse"})
    selection = Selection(Grid(contrasts=None, screen=1), max_kl=None, leave_out_last=None)
    plan = TestPlan(n_shuffled=0, judge_all=True, permutations=100, positive_controls=False)
    table = compare(llama, vectors, exam, tmp_path / "run", selection, plan, QUIET)
    assert table["contrast"].tolist() == ["imported"]
    assert table["n_random"].tolist() == [20]


def test_command(llama, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("role_lens.reporting.options.ModelOptions.load", lambda self: llama)
    path = control_vector(tmp_path / "happy.gguf", {1: FIRST.numpy(), 0: FIRST.numpy()})
    assert cli.main(["import", str(path), "--out", str(tmp_path / "out.safetensors")]) == 0
    assert "happy at layers 1-2 -> " in capsys.readouterr().out
    assert RoleVectors.load(tmp_path / "out.safetensors").roles == ("happy",)
    assert cli.main(["info", "--vectors", str(tmp_path / "out.safetensors")]) == 0
    assert "contrasts: imported" in capsys.readouterr().out


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def test_code_is_not_run(llama, tmp_path, capsys):
    (tmp_path / "bad.pt").write_bytes(pickle.dumps({0: Harmful()}))
    with pytest.raises(RoleLensError, match="more than tensors and plain values"):
        import_vectors(llama, tmp_path / "bad.pt")
    torch.save({0: Harmful()}, tmp_path / "bad.pt")
    with pytest.raises(RoleLensError, match="more than tensors and plain values") as refused:
        import_vectors(llama, tmp_path / "bad.pt")
    assert "\n" not in str(refused.value)
    assert capsys.readouterr().out == ""


def test_the_last_output_is_left_out(llama, tmp_path):
    torch.save({2: FIRST, 1: SECOND}, tmp_path / "poet.pt")
    with pytest.warns(UserWarning, match="output of the last block has no layer here"):
        vectors = import_vectors(llama, tmp_path / "poet.pt")
    assert vectors.directions("imported").isfinite().any(dim=-1).sum() == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", {0: torch.ones(7)}, "layer 0 has 7 numbers, and the model's residual stream 32"),
        ("a.pt", {9: FIRST}, r"layer 9 \(output\) is beyond the model, which has 3 layers"),
        ("a.pt", {0: FIRST * torch.nan}, "layer 0 is NaN or infinite"),
        ("a.pt", {"a": FIRST}, "expected a tensor for each layer"),
        ("a.pt", torch.ones(3), r"got a tensor of shape \(3,\)"),
        ("a.pt", {}, "expected a tensor for each layer"),
        ("a.pt", b"nothing", "no readable file of torch|more than tensors"),
        ("a.gguf", b"nothing", "no readable GGUF file"),
        ("a.npz", b"nothing", "no readable archive"),
        ("a.safetensors", b"nothing", "not a readable safetensors file"),
        ("a.txt", b"nothing", "unknown import format 'txt'"),
    ],
)
def test_refused(name, content, message, llama, tmp_path):
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(RoleLensError, match=message) as refused:
        import_vectors(llama, path)
    assert "\n" not in str(refused.value)


def test_refused_options(llama, vectors, tmp_path):
    np.savez(tmp_path / "a.npz", **{"1": FIRST.numpy()})
    with pytest.raises(RoleLensError, match="inputs or outputs of their blocks: name a convention"):
        import_vectors(llama, tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", steering=FIRST.numpy())
    with pytest.raises(RoleLensError, match="can't tell the layer of array 'steering'"):
        import_vectors(llama, tmp_path / "a.npz")
    control_vector(tmp_path / "model.gguf", {}, arch="llama")
    with pytest.raises(RoleLensError, match="holds no control vector"):
        import_vectors(llama, tmp_path / "model.gguf")
    vectors.save(tmp_path / "own.safetensors")
    with pytest.raises(RoleLensError, match=r"read it with RoleVectors\.load"):
        import_vectors(llama, tmp_path / "own.safetensors")
    for options, message in (
        (ImportOptions(), "name the latents with rows: it has 0 to 1"),
        (ImportOptions(rows=(5,)), "it has no latent 5"),
        (ImportOptions("a", rows=(0, 1)), "one name for several latents"),
    ):
        folder = tmp_path / "sae"
        sae(folder) if not folder.exists() else None
        with pytest.raises(RoleLensError, match=message):
            import_vectors(llama, folder, options)
    with pytest.raises(RoleLensError, match="only those of the residual stream"):
        import_vectors(llama, sae(tmp_path / "mlp", hook="blocks.1.mlp.hook_out"))
    with pytest.raises(RoleLensError, match="no file at"):
        import_vectors(llama, tmp_path / "none.gguf")
    assert set(IMPORTS.names) == {"gguf", "npz", "pt", "sae", "safetensors"}
