"""Finders beside the differences of means: what they recover, where, and their options."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import BASE, QUIET, ROLES

from role_lens import RoleLensError, RoleVectors, activations_at, encode_chat
from role_lens.finders import FINDERS
from role_lens.finders.pca import component
from role_lens.finders.probe import weights
from role_lens.finders.whitened import discriminant

MORE = ("pca", "probe", "whitened")


def cosine(one, other):
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def drawn(n, d, shift, covariance, seed=0):
    """Two groups whose means differ by `shift`."""
    rng = np.random.default_rng(seed)
    groups = rng.multivariate_normal(np.zeros(d), covariance, (2, n))
    groups[0] += shift
    return [torch.from_numpy(group).float() for group in groups]


def test_whitening_recovers_what_a_misleading_covariance_hides():
    """One dimension varies so much that it makes up most of a difference of means."""
    d, planted = 20, np.zeros(20)
    planted[0] = 1.0
    covariance = np.diag([0.2] + [400.0] + [1.0] * (d - 2))
    role, base = drawn(200, d, planted, covariance)
    truth = torch.from_numpy(planted).float()
    assert abs(cosine(role.mean(0) - base.mean(0), truth)) < 0.7
    assert cosine(discriminant(role, base), truth) > 0.95


def test_whitening_of_fewer_prompts_than_dimensions():
    planted = np.zeros(300)
    planted[:10] = 1.0
    role, base = drawn(40, 300, planted, np.eye(300))
    assert cosine(discriminant(role, base), torch.from_numpy(planted).float()) > 0.5


def test_a_probe_finds_what_tells_apart():
    planted = np.zeros(30)
    planted[3] = 6.0
    role, base = drawn(100, 30, planted, np.eye(30))
    assert cosine(weights(role, base), torch.from_numpy(planted).float()) > 0.9


def test_pca_is_the_direction_in_which_differences_vary_most():
    rng = np.random.default_rng(0)
    axis = np.zeros(30)
    axis[5] = 1.0
    strength = rng.normal(0, 5, (60, 1))
    base = rng.normal(size=(60, 30))
    role = base + strength * axis + rng.normal(0, 0.5, (60, 30)) + 3.0
    groups = torch.from_numpy(role).float(), torch.from_numpy(base).float()
    found = component(*groups, centred=True)
    assert abs(cosine(found, torch.from_numpy(axis).float())) > 0.95


PEERS = json.loads((Path(__file__).parent / "peers.json").read_text())
"""What steering-vectors 0.12.2 and repeng 0.5.0 find in 40 pairs of drawn activations."""


@pytest.mark.parametrize(
    ("package", "method", "found"),
    [
        ("steering-vectors", "mean", lambda role, base: role.mean(0) - base.mean(0)),
        ("steering-vectors", "pca", component),
        ("steering-vectors", "logistic", partial(weights, paired=True)),
        ("repeng", "pca_diff", partial(component, centred=True)),
        ("repeng", "pca_center", component),
    ],
)
def test_the_same_as_other_packages(package, method, found):
    role, base, theirs = (
        torch.tensor(x) for x in (PEERS["role"], PEERS["base"], PEERS[package][method])
    )
    assert abs(cosine(found(role, base), theirs)) > 0.9999


@pytest.mark.parametrize("name", MORE)
def test_directions_at_every_place(name, llama):
    """Turned towards the role, and as long as the means lie apart along them."""
    vectors = RoleVectors.fit(llama, ROLES, BASE, finder=name, positions=[-2, -1], compute=QUIET)
    assert vectors.contrasts == ("base", "roles", name)
    assert vectors.provenance["finder"] == name
    found, difference = vectors.directions(name), vectors.directions("base")
    assert found.shape == difference.shape
    assert not found[:, :, 0].any()  # nothing differs at layer 0
    along = (found * difference).sum(dim=-1)[:, :, 1:]
    torch.testing.assert_close(along, found.square().sum(dim=-1)[:, :, 1:], rtol=1e-3, atol=1e-6)
    assert (along > 0).all()


@pytest.mark.parametrize("name", MORE)
def test_some_layers_alone(name, llama, tmp_path):
    finder = FINDERS[name](layers=(2,))
    vectors = RoleVectors.fit(llama, ROLES, BASE, finder=finder, positions=[-1], compute=QUIET)
    found = vectors.directions(name)
    assert found[:, :, 2].isfinite().all()
    assert found[:, :, :2].isnan().all()
    assert vectors.provenance["finder_options"]["layers"] == [2]
    vectors.save(tmp_path / "vectors.safetensors")
    again = RoleVectors.load(tmp_path / "vectors.safetensors")
    torch.testing.assert_close(again.directions(name), found, equal_nan=True)
    assert again.add("poet", layer=2, position=-1, contrast=name).layers == (2,)
    with pytest.raises(RoleLensError, match="direction"):
        again.add("poet", layer=1, position=-1, contrast=name)


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize(
    ("finder", "message"),
    [
        (lambda: FINDERS["pca"](layers=[]), "layers must be at least one, or None for all"),
        (lambda: FINDERS["pca"](layers="12"), r"layers must be a list such as \[12, 15\]"),
        (lambda: FINDERS["pca"](layers=[-1]), "a layer must be at least 0"),
        (lambda: FINDERS["probe"](layers=(7,)), "layer 7 is out of range: the model has 0 to 2"),
        (
            lambda: FINDERS["pca"],
            "finder must be a name, one of answers, learned, means, pca, probe, sae, whitened",
        ),
        (lambda: "odds", "unknown finder 'odds'"),
        (lambda: b"pca", "finder must be a name"),  # bytes have a method `find`, too
    ],
)
def test_refused(finder, message, llama):
    with pytest.raises(RoleLensError, match=message):
        RoleVectors.fit(llama, ROLES, BASE, finder=finder(), positions=[-1], compute=QUIET)


def dictionary(folder, layer=2, **more):
    """A dictionary of five latents, whose first is the axis along which `poet` differs most."""
    folder.mkdir(exist_ok=True)
    decoder = torch.nn.functional.normalize(torch.randn(5, 32, generator=seed()), dim=-1)
    weights = {"W_dec": decoder, "W_enc": decoder.T.contiguous() * 8, "b_dec": torch.zeros(32)}
    weights |= {"b_enc": torch.full((5,), 0.01), "threshold": torch.full((5,), 0.02)}
    save_file(weights, folder / "sae_weights.safetensors")
    config = {"hook_name": f"blocks.{layer}.hook_resid_pre", "apply_b_dec_to_input": True}
    (folder / "cfg.json").write_text(json.dumps(config | more))
    return folder, weights


def seed():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(
    "kind", [{}, {"architecture": "jumprelu"}, {"architecture": "topk", "k": 2}]
)
def test_rows_of_a_dictionary(n, kind, llama, tmp_path):
    """Those whose latents differ most, computed by hand; other layers have none."""
    folder, weights = dictionary(tmp_path / "sae", **kind)
    vectors = RoleVectors.fit(
        llama, ROLES, BASE, finder=FINDERS["sae"](folder, n=n), positions=[-1], compute=QUIET
    )
    assert vectors.directions("sae")[:, :, :2].isnan().all()

    def active(prompts):
        stream = activations_at(llama, encode_chat(llama, prompts), [(2, -1)])[0]
        before = stream @ weights["W_enc"] + weights["b_enc"]
        if kind.get("architecture") == "jumprelu":
            return (before * (before > 0.02)).mean(dim=0)
        if kind.get("architecture") == "topk":
            least = before.sort(dim=-1, descending=True).values[:, 1:2]
            before = before * (before >= least)
        return before.clamp(min=0).mean(dim=0)

    for role, prompts in ROLES.items():
        more = active(prompts) - active(BASE)
        rows = more.abs().argsort(descending=True)[:n]
        wanted = (more[rows, None] * weights["W_dec"][rows]).sum(dim=0)
        found = vectors.direction(role, layer=2, position=-1, contrast="sae")
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("as_users_have_it")
def test_dictionaries_that_are_refused(llama, tmp_path):
    def fit(folder):
        RoleVectors.fit(llama, ROLES, BASE, finder=FINDERS["sae"](folder), compute=QUIET)

    with pytest.raises(RoleLensError, match="name the folder of SAELens"):
        FINDERS["sae"]()
    with pytest.raises(RoleLensError, match=r"nowhere.*no folder of SAELens"):
        fit(tmp_path / "nowhere")
    with pytest.raises(RoleLensError, match="layer 9"):
        fit(dictionary(tmp_path / "high", layer=9)[0])
    with pytest.raises(RoleLensError, match="architecture 'gated'"):
        fit(dictionary(tmp_path / "gated", architecture="gated")[0])
    with pytest.raises(RoleLensError, match="normalisation 'layer_norm'"):
        fit(dictionary(tmp_path / "norm", normalize_activations="layer_norm")[0])
