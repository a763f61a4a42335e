import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import NAMES, build
from safetensors.torch import save_file
from tiny import HAS_HOOKED_TRANSFORMER, QUIET, tiny_bridge

from role_lens import Compute, Patch, RoleLensError, RoleVectors
from role_lens._run.residual_stream import residual_stream
from role_lens._run.tokens import encode_chat, pad_left
from role_lens.experiments import rotated
from role_lens.prompts import split
from role_lens.vector_file import write_vectors

ROLES = {
    "poet": ["Rhyme 'moon'?", "What is a sonnet, and why fourteen lines?", "Scan this.", "Ode?"],
    "sea_captain": ["Reef the sail?", "How deep is it here at low water?", "Log?", "Which knot?"],
}
BASE = ["Tea or coffee?", "Where did I leave my umbrella this time?", "Lunch?", "Is it late?"]


def fit(model, **options):
    return RoleVectors.fit(model, ROLES, BASE, compute=QUIET, **options)


@torch.no_grad()
def stacked(model, prompts, positions):
    """Plain procedure: one prompt at a time, everything kept."""
    rows = []
    for ids in encode_chat(model, prompts):
        resid = residual_stream(model, pad_left(model, [ids], [0]), positions)
        rows.append(resid[:, 0].transpose(0, 1))
    return torch.stack(rows).double()


@pytest.fixture
def vectors(llama):
    return fit(llama)


def test_streamed_mean_equals_stacked_mean(model):
    vectors = fit(model)
    assert vectors.roles == ("poet", "sea captain")
    for prompts, mean in [
        (ROLES["poet"], vectors.role_means[0]),
        (ROLES["sea_captain"], vectors.role_means[1]),
        (BASE, vectors.base_mean),
    ]:
        expected = stacked(model, prompts, vectors.positions).mean(dim=0).float()
        torch.testing.assert_close(mean, expected, atol=1e-4, rtol=1e-4)


def test_batch_size_does_not_matter(llama, vectors):
    one_by_one = RoleVectors.fit(llama, ROLES, BASE, compute=Compute(1, progress=False))
    torch.testing.assert_close(one_by_one.role_means, vectors.role_means, atol=1e-5, rtol=1e-5)


def test_separation_against_numpy(llama, vectors):
    """d' of the second half along the first half's directions, computed another way."""
    names = ["poet", "sea_captain"]
    halves = {
        name: [stacked(llama, half, vectors.positions).numpy() for half in split(prompts, 0.5)]
        for name, prompts in {**ROLES, "base": BASE}.items()
    }
    for c, r in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        reference = "base" if c == 0 else names[1 - r]
        direction = halves[names[r]][0].mean(0) - halves[reference][0].mean(0)
        direction = direction[:, 1:]  # layer 0 is zero
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        own = (halves[names[r]][1][:, :, 1:] * direction).sum(-1)
        other = (halves[reference][1][:, :, 1:] * direction).sum(-1)
        pooled = np.sqrt((own.var(0, ddof=1) + other.var(0, ddof=1)) / 2)
        expected = (own.mean(0) - other.mean(0)) / pooled
        np.testing.assert_allclose(
            vectors.separation[("base", "roles")[c]][r, :, 1:].numpy(),
            expected,
            rtol=1e-2,
            atol=1e-3,
        )
    assert all(torch.isnan(one[..., 0]).all() for one in vectors.separation.values())


def test_separation_is_not_fooled_by_repeated_prompts(llama):
    """All copies of a prompt fall into one half, and lone prompts spoil only their own role."""
    repeated = {role: prompts * 4 for role, prompts in ROLES.items()}
    vectors = RoleVectors.fit(llama, repeated, BASE * 4, compute=QUIET)
    plain = fit(llama)
    torch.testing.assert_close(vectors.role_means, plain.role_means, atol=1e-5, rtol=1e-5)
    for contrast in ("base", "roles"):
        ratio = vectors.separation[contrast] / plain.separation[contrast]
        assert ratio[..., 1:].max() < 1.5

    lone = RoleVectors.fit(llama, {**ROLES, "hermit": ["Alone?"]}, BASE, compute=QUIET)
    for found in lone.separation.values():
        assert torch.isnan(found[2]).all()
        assert torch.isfinite(found[:2, :, 1:]).all()


def test_single_prompt_and_single_role(llama):
    vectors = RoleVectors.fit(llama, {"poet": ["Rhyme?"]}, BASE, compute=QUIET)
    assert torch.isfinite(vectors.role_means).all()
    assert list(vectors.separation) == ["base"]
    assert torch.isnan(vectors.separation["base"]).all()
    with pytest.raises(RoleLensError, match="at least two roles"):
        vectors.directions("roles")


def test_direction_is_a_slice_of_directions(vectors):
    for contrast in ("base", "roles"):
        every = vectors.directions(contrast)
        one = vectors.direction("Sea_Captain", layer=2, position=-3, contrast=contrast)
        torch.testing.assert_close(one, every[1, vectors.positions.index(-3), 2])


def test_add_and_ablate_use_the_direction(vectors):
    direction = vectors.direction("poet", layer=2, position=-2)
    added = vectors.add("poet", layer=2, position=-2, coefficient=-1.5)
    assert (added.kind, added.layers, added.value) == ("add", (2,), -1.5)
    torch.testing.assert_close(added.direction, direction)
    ablated = vectors.ablate("poet", layer=2, position=-2)
    torch.testing.assert_close(ablated.direction, direction / direction.norm())


def test_clamp_and_cap_default_to_the_roles_own_projection(vectors):
    direction = vectors.direction("poet", layer=2)
    mean = vectors.role_means[0, -1, 2]
    expected = float(mean @ direction / direction.norm())
    assert vectors.clamp("poet", layer=2).value == pytest.approx(expected, rel=1e-4)
    assert vectors.cap("poet", layer=2, value=3.0).value == 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"role": "poett"}, "unknown role 'poett': did you mean 'poet'"),
        ({"role": "zzz"}, "unknown role 'zzz': the vectors have poet, sea captain"),
        ({"layer": 3}, "layer 3 is out of range: the vectors have layers 0 to 2"),
        ({"layer": -1}, "layer -1 is out of range"),
        ({"position": 0}, "position 0 is out of range"),
        ({"position": -99}, "position -99 is out of range"),
        ({"layer": 0}, "the direction is zero"),
    ],
)
def test_bad_arguments(vectors, arguments, message):
    with pytest.raises(RoleLensError, match=message):
        vectors.add(**{"role": "poet", "layer": 1, "position": -1, **arguments})


@pytest.mark.parametrize(
    ("roles", "base", "options", "message"),
    [
        ({}, BASE, {}, "at least one role"),
        ({"poet": "Rhyme?"}, BASE, {}, "a list of prompts of role 'poet', got str"),
        ({"poet": ["a"]}, "Tea?", {}, "expected a list of base prompts, got str"),
        ({"poet": []}, BASE, {}, "at least one of the prompts of role 'poet'"),
        ({"poet": ["a", ""]}, BASE, {}, "role 'poet': prompt 1 is empty"),
        ({"poet": ["a"]}, [], {}, "at least one of the base prompts"),
        ({"poet": ["a"], "Poet": ["b"]}, BASE, {}, "two roles have the same name"),
        ({"poet": ["a"]}, BASE, {"positions": [-1, -1]}, "positions must be distinct"),
        ({"poet": ["a"]}, BASE, {"positions": []}, "at least one"),
        ({"poet": ["a"]}, BASE, {"positions": [0]}, "position 0 is out of range"),
        ({"poet": ["a"]}, BASE, {"positions": [-99]}, "position -99 is out of range"),
        ({"poet": ["x" * 300]}, BASE, {}, "role 'poet': a prompt takes .* context of 256"),
    ],
)
def test_fit_refuses(llama, roles, base, options, message):
    with pytest.raises(RoleLensError, match=message):
        RoleVectors.fit(llama, roles, base, compute=QUIET, **options)


def test_nan_activations():
    model = tiny_bridge("llama", seed=3)
    model.original_model.get_input_embeddings().weight.data[:] = float("nan")
    with pytest.raises(RoleLensError, match="activations are NaN or infinite"):
        fit(model)


def test_merging_two_fits_is_one_fit_of_both(llama):
    first = RoleVectors.fit(llama, {"poet": ROLES["poet"][:3]}, BASE[:1], compute=QUIET)
    second = RoleVectors.fit(
        llama,
        {"poet": ROLES["poet"][3:], "sea captain": ROLES["sea_captain"]},
        BASE[1:],
        compute=QUIET,
    )
    merged, whole = first.merge(second), fit(llama)
    assert merged.roles == whole.roles
    assert merged.role_counts.tolist() == whole.role_counts.tolist()
    assert merged.base_count == whole.base_count
    torch.testing.assert_close(merged.role_means, whole.role_means, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(merged.base_mean, whole.base_mean, atol=1e-5, rtol=1e-5)


def test_the_same_base_prompts_count_once(llama):
    poet, captain = (
        RoleVectors.fit(llama, {role: ROLES[role]}, BASE, compute=QUIET) for role in ROLES
    )
    merged, whole = poet.merge(captain), fit(llama)
    assert merged.base_count == whole.base_count == len(BASE)
    assert torch.equal(merged.base_mean, whole.base_mean)
    other = RoleVectors.fit(llama, {"cook": ["Salt?"]}, BASE[:1], compute=QUIET)
    pooled = merged.merge(other)
    assert pooled.base_count == len(BASE) + 1
    assert pooled.merge(other).base_count == len(BASE) + 2  # what is in it can't be told any more


def test_shown_in_a_line(llama, vectors):
    assert repr(vectors) == (
        f"RoleVectors(2 roles: poet, sea captain; positions {list(vectors.positions)}; 3 layers; "
        f"d_model {vectors.d_model}; of {vectors.provenance['model']})"
    )
    assert repr(vectors.add("poet", layer=1, coefficient=2.0)).startswith(
        "Patch(add, layers [1], value 2, tokens all, |d| "
    )
    assert repr(vectors.ablate("poet", layer=1)) == "Patch(ablate, tokens all, |d| 1)"


def test_merging_what_does_not_belong_together(llama, vectors):
    with pytest.raises(RoleLensError, match="different weights"):
        vectors.merge(fit(tiny_bridge("llama", seed=5)))
    with pytest.raises(RoleLensError, match="differ in system"):
        vectors.merge(fit(llama, system="Be brief."))
    with pytest.raises(RoleLensError, match="positions"):
        vectors.merge(fit(llama, positions=[-1]))
    others = {**vectors.provenance, "chat_template_kwargs": {"enable_thinking": False}}
    with pytest.raises(RoleLensError, match="differ in chat_template_kwargs"):
        vectors.merge(replace(vectors, provenance=others))


@pytest.mark.usefixtures("as_users_have_it")
def test_only_vectors_are_merged(vectors):
    with pytest.raises(RoleLensError, match="expected RoleVectors, of fit or load, got None"):
        vectors.merge(None)


@pytest.mark.usefixtures("as_users_have_it")
def test_prompts_of_the_fit_come_in_whatever_holds_them(vectors):
    found = vectors.with_prompts({role: np.array(some) for role, some in ROLES.items()}, iter(BASE))
    assert found.prompts.base == BASE
    with pytest.raises(RoleLensError, match="roles must be a mapping"):
        vectors.with_prompts(list(ROLES), BASE)


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_vectors_need_a_name_to_be_saved_by(vectors, path):
    with pytest.raises(RoleLensError, match="expected the path of a file, got"):
        vectors.save(path)


def test_save_and_load_are_exact(vectors, tmp_path):
    path = tmp_path / "new folder" / "v.safetensors"
    vectors.save(path)
    loaded = RoleVectors.load(path)
    assert (loaded.roles, loaded.positions, loaded.base_count) == (
        vectors.roles,
        vectors.positions,
        vectors.base_count,
    )
    pairs = [(getattr(loaded, n), getattr(vectors, n)) for n in ("role_means", "base_mean")]
    pairs.append((loaded.role_counts, vectors.role_counts))
    assert sorted(loaded.separation) == sorted(vectors.separation) == ["base", "roles"]
    pairs += [(loaded.separation[name], vectors.separation[name]) for name in vectors.separation]
    for a, b in pairs:
        assert a.dtype == b.dtype
        assert torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
    assert loaded.prompts is None
    assert loaded.provenance == json.loads(json.dumps(vectors.provenance))
    assert {"model", "fingerprint", "dtype", "versions", "hook", "suffix"} <= set(loaded.provenance)
    assert [p.name for p in path.parent.iterdir()] == ["v.safetensors"]


def test_load_refuses(vectors, tmp_path):
    path = tmp_path / "v.safetensors"
    for none in (path, tmp_path, "x" * 5000):
        with pytest.raises(RoleLensError, match="no vectors at"):
            RoleVectors.load(none)
    vectors.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RoleLensError, match="not a readable safetensors file"):
        RoleVectors.load(path)
    path.write_text("hello")
    with pytest.raises(RoleLensError, match="not a readable safetensors file"):
        RoleVectors.load(path)
    save_file({"x": torch.ones(2)}, path)
    with pytest.raises(RoleLensError, match="holds no role vectors"):
        RoleVectors.load(path)


def test_load_refuses_tensors_that_do_not_fit(vectors, tmp_path):
    path = tmp_path / "v.safetensors"

    def written(**changes):
        write_vectors(path, {**vars(vectors), **changes})
        return path

    with pytest.raises(RoleLensError, match="role_means has shape"):
        RoleVectors.load(written(roles=("poet",)))
    with pytest.raises(RoleLensError, match=r"separation\.base has shape"):
        RoleVectors.load(written(separation={"base": torch.zeros(1, 2)}))
    for damage in ({"provenance": {}}, {"provenance": None}, {"roles": 2}, {"positions": ["a"]}):
        with pytest.raises(RoleLensError, match="the header is damaged"):
            RoleVectors.load(written(**damage))
    with pytest.raises(RoleLensError, match=r"role_means is torch.float16"):
        RoleVectors.load(written(role_means=vectors.role_means.half()))


def test_directions_of_another_finder_are_kept_by_name(llama, vectors, tmp_path):
    """Beside the differences of means: saved, swept and rotated, but not merged."""
    own = {"probe": torch.randn_like(vectors.role_means)}
    more = replace(vectors, found=own)
    more.save(tmp_path / "v.safetensors")
    loaded = RoleVectors.load(tmp_path / "v.safetensors")
    assert loaded.contrasts == ("base", "roles", "probe")
    one = loaded.direction("poet", layer=2, position=-1, contrast="probe")
    torch.testing.assert_close(one, own["probe"][0, vectors.positions.index(-1), 2])
    patch = loaded.add("poet", layer=2, contrast="probe")
    torch.testing.assert_close(patch.direction, one)
    turned = rotated(loaded, seed=1).directions("probe")
    torch.testing.assert_close(turned.norm(dim=-1), own["probe"].norm(dim=-1))
    with pytest.raises(RoleLensError, match="probe are not differences of means"):
        loaded.merge(vectors)
    with pytest.raises(RoleLensError, match="unknown contrast 'pca': the vectors have base, roles"):
        loaded.directions("pca")


def test_nothing_half_written_stays(vectors, tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(RoleLensError, match="can't write"):
        vectors.save(blocker / "v.safetensors")

    def full_disk(self, content):
        with open(self, "wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(RoleLensError, match="No space left on device"):
        vectors.save(tmp_path / "v.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_vectors_from_another_model_are_refused(llama, vectors):
    patch = vectors.add("poet", layer=1)
    patch.check(llama)
    with pytest.raises(RoleLensError, match="other weights"):
        patch.check(tiny_bridge("llama", seed=7))
    with pytest.raises(RoleLensError, match="dimensions"):
        patch.check(tiny_bridge("llama", hidden_size=16))
    with pytest.raises(RoleLensError, match="layers"):
        patch.check(tiny_bridge("llama", num_hidden_layers=2))


@pytest.mark.skipif(not HAS_HOOKED_TRANSFORMER, reason="needs TransformerLens 3.9")
@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("hooked")])
def test_both_model_classes_give_the_same_directions(name):
    hooked, bridge = build(name), build(name.removeprefix("hooked-"))
    from_hooked, from_bridge = fit(hooked), fit(bridge)
    for contrast in ("base", "roles"):
        torch.testing.assert_close(
            from_hooked.directions(contrast),
            from_bridge.directions(contrast),
            atol=1e-4,
            rtol=1e-3,
        )
    from_bridge.add("poet", layer=1).check(hooked)
    from_hooked.ablate("poet", layer=1).check(bridge)


@pytest.mark.parametrize("own", [False, True])
def test_fit_under_hooks_is_refused_before_the_long_part(own):
    """Also under those of vectors that know the model already."""
    model, passes = tiny_bridge("llama", seed=13), []
    patch = fit(model).add("poet", layer=1) if own else Patch.add(torch.ones(32), layer=0)
    handle = model.original_model.register_forward_hook(lambda *args: passes.append(1))
    with patch.on(model), pytest.raises(RoleLensError, match="the model carries hooks"):
        fit(model)
    handle.remove()
    assert not passes
