"""Patches as files: what is read back is what was written, and what can't be read is refused."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import build
from safetensors import safe_open
from safetensors.torch import save_file
from tiny import BASE, QUIET, ROLES

from role_lens import Patch, RoleLensError, RoleVectors, generate
from role_lens.patches import KINDS, read_patches, write_patches
from role_lens.patches.patch_file import PATCHES


@pytest.fixture(scope="module")
def vectors(llama):
    return RoleVectors.fit(llama, ROLES, BASE, positions=[-1], compute=QUIET)


def header_of(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()[PATCHES])


@pytest.mark.parametrize("kind", KINDS.names)
def test_a_patch_is_read_as_it_was_written(llama, vectors, kind, tmp_path):
    file = tmp_path / "p.safetensors"
    direction = vectors.direction("poet", layer=2)
    patch = Patch.of(
        kind,
        direction,
        layer=() if kind == "ablate" else (1, 2),
        value=3.25,
        tokens="prompt[1:-1]",
        fingerprint=vectors.add("poet", layer=1).fingerprint,
    )
    patch.save(file)
    read = Patch.load(file)
    assert torch.equal(read.direction, patch.direction)
    for name in ("kind", "layers", "weights", "value", "tokens", "fingerprint"):
        assert getattr(read, name) == getattr(patch, name)
    read.check(llama)
    (words,) = (one["words"] for one in header_of(file)["patches"])
    assert words["change"].startswith(("x ", "|x| "))
    assert "as Python cuts lists, [1:-1]" in words["tokens"]


def test_several_act_together(llama, vectors, tmp_path):
    both = vectors.add("poet", layer=1, coefficient=4.0), vectors.ablate("cook", layer=2)
    write_patches(tmp_path / "both.safetensors", both, about={"role": "poet"})
    saved = read_patches(tmp_path / "both.safetensors")
    assert saved.about == {"role": "poet"}
    texts = [generate(llama, "Tea?", patch=one, max_new_tokens=8) for one in (both, saved.patches)]
    assert texts[0] == texts[1]
    with pytest.raises(RoleLensError, match="holds 2 patches that act together"):
        Patch.load(tmp_path / "both.safetensors")


def test_another_model_is_refused(vectors, tmp_path):
    vectors.add("poet", layer=1).save(tmp_path / "p.safetensors")
    with pytest.raises(RoleLensError, match="from a model with other weights"):
        Patch.load(tmp_path / "p.safetensors").check(build("gpt2"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 9}, "it has format 9, this version of role_lens reads 1"),
        ({"patches": []}, "it holds no patches"),
        ({"patches": [{"kind": "bend"}]}, "its header is damaged"),
        ({"patches": None}, "its header is damaged"),
        ({"about": 3}, "its header is damaged"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(vectors, tmp_path, change, said):
    file = tmp_path / "p.safetensors"
    vectors.add("poet", layer=1).save(file)
    header = header_of(file) | change
    save_file({"direction.0": torch.ones(4)}, file, metadata={PATCHES: json.dumps(header)})
    with pytest.raises(RoleLensError, match=said) as error:
        read_patches(file)
    assert "\n" not in str(error.value)


def test_files_of_something_else(vectors, tmp_path):
    with pytest.raises(RoleLensError, match="no patch at"):
        Patch.load(tmp_path / "none.safetensors")
    vectors.save(tmp_path / "v.safetensors")
    with pytest.raises(RoleLensError, match="holds role vectors and no patch: give it as vectors"):
        Patch.load(tmp_path / "v.safetensors")
    save_file({"x": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(RoleLensError, match="holds no patches"):
        Patch.load(tmp_path / "x.safetensors")
    with pytest.raises(RoleLensError, match="the unchanged model is no patch"):
        write_patches(tmp_path / "p.safetensors", None)
    with pytest.raises(RoleLensError, match="about must be of JSON values"):
        vectors.add("poet", layer=1).save(tmp_path / "p.safetensors", about={"x": float("nan")})
    assert not (tmp_path / "p.safetensors").exists()
    vectors.add("poet", layer=1).save(tmp_path / "p.safetensors")
    with pytest.raises(RoleLensError, match="holds a patch and no role vectors"):
        RoleVectors.load(tmp_path / "p.safetensors")


def test_one_direction_in_several_patches(vectors, tmp_path):
    patch = vectors.add("poet", layer=1)
    write_patches(tmp_path / "p.safetensors", (patch, replace(patch, layers=(2,))))
    assert [one.layers for one in read_patches(tmp_path / "p.safetensors").patches] == [(1,), (2,)]


@pytest.mark.parametrize("direction", [torch.ones(32).half(), torch.ones(2, 16), torch.tensor(1.0)])
def test_directions_of_another_type_or_shape(vectors, tmp_path, direction):
    file = tmp_path / "p.safetensors"
    vectors.add("poet", layer=1).save(file)
    save_file({"direction.0": direction}, file, metadata={PATCHES: json.dumps(header_of(file))})
    with pytest.raises(RoleLensError, match="a direction must be one row of"):
        read_patches(file)


def test_a_header_without_end(tmp_path):
    save_file({"direction.0": torch.ones(4)}, tmp_path / "p", metadata={PATCHES: "[" * 200_000})
    with pytest.raises(RoleLensError, match="its header is damaged"):
        read_patches(tmp_path / "p")
