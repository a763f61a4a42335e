"""Patches in other programs' files: what is read from them is what the patch adds."""

import base64
import json

import numpy as np
import pytest
import torch

from role_lens import Patch, RoleLensError
from role_lens.cli import main
from role_lens.experiments import judged_patch
from role_lens.interop import EXPORTS, ImportOptions, export_patch, import_vectors
from role_lens.patches import read_patches


def additions_of(vectors):
    return (
        vectors.add("poet", layer=2, coefficient=2.5),
        vectors.add("cook", layer=2, coefficient=-1.0),
    )


@pytest.mark.parametrize("ending", ["gguf", "npz"])
def test_what_is_added_is_read_back(llama, vectors, tmp_path, ending):
    """Several patches are summed, coefficients multiplied in; our layer is the other's block."""
    both = additions_of(vectors)
    export_patch(both, tmp_path / f"v.{ending}")
    theirs = import_vectors(llama, tmp_path / f"v.{ending}", ImportOptions(role="v"))
    read = theirs.add("v", layer=2, contrast="imported")
    want = 2.5 * vectors.direction("poet", layer=2) - vectors.direction("cook", layer=2)
    torch.testing.assert_close(read.direction, want)
    assert theirs.direction("v", layer=1, contrast="imported").isnan().all()


def test_a_control_vector_says_what_llama_cpp_reads(vectors, tmp_path):
    from gguf import GGUFReader

    about = {"model": "tiny", "role": "poet"}
    export_patch(vectors.add("poet", layer=2), tmp_path / "v.gguf", about=about)
    reader = GGUFReader(tmp_path / "v.gguf")
    (tensor,) = reader.tensors
    assert (tensor.name, tensor.tensor_type.name, tensor.shape.tolist()) == (
        "direction.1",
        "F32",
        [32],
    )
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "controlvector"
    assert fields["controlvector.model_hint"] == "tiny"
    assert fields["controlvector.layer_count"] == 1
    assert json.loads(fields["role_lens.about"]) == about
    export_patch(vectors.add("poet", layer=2), tmp_path / "w.GGUF")
    hint = GGUFReader(tmp_path / "w.GGUF").fields["controlvector.model_hint"]
    assert hint.contents() == "unknown"  # repeng refuses a file without one


def test_a_steering_vector_says_what_vllm_lens_reads(vectors, tmp_path):
    """As its `SteeringVector` decodes it: our layer is the output of the block before."""
    export_patch((*additions_of(vectors), vectors.add("cook", layer=1)), tmp_path / "v.json")
    read = json.loads((tmp_path / "v.json").read_text())
    assert read["layer_indices"] == [0, 1]
    assert (read["scale"], read["norm_match"]) == (1.0, False)
    told = read["activations"]
    rows = np.frombuffer(base64.b64decode(told["data"]), told["dtype"]).reshape(told["shape"])
    want = 2.5 * vectors.direction("poet", layer=2) - vectors.direction("cook", layer=2)
    np.testing.assert_allclose(rows, torch.stack([vectors.direction("cook", layer=1), want]))
    with pytest.raises(RoleLensError, match="layer 0 can't be expressed"):
        export_patch(Patch.add(torch.ones(32), layer=0), tmp_path / "w.json")


@pytest.mark.parametrize("ending", ["gguf", "npz", "safetensors"])
def test_what_is_no_json_is_refused_by_all_formats(vectors, tmp_path, ending):
    for about in ({"verdict": float("nan")}, {"model": object()}):
        with pytest.raises(RoleLensError, match="about must be of JSON values"):
            export_patch(vectors.add("poet", layer=2), tmp_path / f"v.{ending}", about=about)
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_express_is_refused(vectors, tmp_path):
    poet = vectors.direction("poet", layer=1)
    for patch, said in (
        (Patch.ablate(poet), "can only add, .* kind 'ablate' can't be expressed"),
        (Patch.add(poet, layer=2, tokens="last"), "tokens='last' can't be expressed"),
        (Patch.add(poet, layer=(2, 1)), "layer 1 can't be expressed: take a direction of a later"),
        ((), "at least one patch to export, got none"),
        (
            (Patch.add(poet, layer=2), Patch.add(poet, layer=2, coefficient=-1.0)),
            "what is added at layer 2 is zero",
        ),
        ((Patch.add(poet, layer=2), Patch.add(torch.ones(4), layer=2)), r"of \[4, 32\] dimensions"),
    ):
        with pytest.raises(RoleLensError, match=said):
            export_patch(patch, tmp_path / "v.gguf")
    with pytest.raises(RoleLensError, match=f"unknown export format 'txt': .*{EXPORTS.names[0]}"):
        export_patch(Patch.add(poet, layer=2), tmp_path / "v.txt")
    assert not list(tmp_path.iterdir())


def test_a_patch_of_any_kind_is_a_file_of_this_package(vectors, tmp_path):
    export_patch(vectors.ablate("poet", layer=1), tmp_path / "p.safetensors", about={"x": 1})
    saved = read_patches(tmp_path / "p.safetensors")
    assert saved.patches[0].kind == "ablate"
    assert saved.about == {"x": 1}


@pytest.mark.filterwarnings("ignore")
def test_the_verdict_goes_with_the_patch(compared, vectors, tmp_path, capsys):
    folder, table = compared
    saved = judged_patch(folder, vectors, "Poet")
    row = table.iloc[0]
    assert saved.about["verdict"]["verdict"] == row["verdict"]
    assert saved.about["verdict"]["excess"] == row["excess"]
    assert saved.about["conditions"]["asking"]["scoring"] == "letter"
    want = vectors.add("poet", layer=2, position=int(row["position"]), contrast="base")
    assert torch.equal(saved.patches[0].direction, want.direction)
    vectors.save(tmp_path / "v.safetensors")
    command = ["export", "--vectors", f"{tmp_path}/v.safetensors", "--role", "poet"]
    command += ["--comparison", str(folder)]
    assert main([*command, "--out", f"{tmp_path}/p.safetensors"]) == 0
    assert f": {row['verdict']}" in capsys.readouterr().out
    assert read_patches(tmp_path / "p.safetensors").about == saved.about
    assert main([*command, "--layer", "2", "--out", f"{tmp_path}/q.safetensors"]) == 2
    assert "--comparison has chosen the direction: leave out --layer" in capsys.readouterr().err
    with pytest.raises(RoleLensError, match="has no role 'cook': it has poet"):
        judged_patch(folder, vectors, "cook")
    with pytest.raises(RoleLensError, match="holds no comparison that has ended"):
        judged_patch(tmp_path, vectors, "poet")
    for record in ([], {}, {"vectors": "x"}):
        (tmp_path / "comparison.json").write_text(json.dumps(record))
        table.to_parquet(tmp_path / "comparison.parquet")
        with pytest.raises(RoleLensError, match="holds no comparison that has ended"):
            judged_patch(tmp_path, vectors, "poet")


def test_the_command(vectors, tmp_path, capsys):
    vectors.save(tmp_path / "v.safetensors")
    command = ["export", "--vectors", f"{tmp_path}/v.safetensors", "--role", "poet", "--layer", "2"]
    assert main([*command, "--coefficient", "3", "--out", f"{tmp_path}/p.npz"]) == 0
    assert "Patch(add, layers [2], value 3, tokens all" in capsys.readouterr().out
    (array,) = np.load(tmp_path / "p.npz").values()
    np.testing.assert_allclose(array, 3 * vectors.direction("poet", layer=2).numpy(), rtol=1e-6)
    assert main([*command, "--kinds", "ablate", "--out", f"{tmp_path}/p.safetensors"]) == 0
    again = ["export", "--patch", f"{tmp_path}/p.safetensors", "--out", f"{tmp_path}/again.gguf"]
    assert main(again) == 2
    assert "kind 'ablate' can't be expressed" in capsys.readouterr().err
    assert main([*again, "--role", "poet"]) == 2
    assert "--patch is all that is done: leave out --role" in capsys.readouterr().err
    assert main([*command, "--kinds", "add", "ablate", "--out", f"{tmp_path}/p.npz"]) == 2
    assert "one kind goes into a file" in capsys.readouterr().err
    for given, said in (
        ([], "--vectors is missing: name a direction with --vectors, --role and --layer"),
        (command[1:3], "--role is missing"),
        ([*command[1:3], "--comparison", "c"], "--role and --comparison"),
    ):
        assert main(["export", "--out", f"{tmp_path}/p.npz", *given]) == 2
        assert said in capsys.readouterr().err
    assert main([*command, "--out", f"{tmp_path}/p"]) == 2
    assert "has no ending that names a format" in capsys.readouterr().err
