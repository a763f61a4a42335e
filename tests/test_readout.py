import importlib.util
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import QUIET, tiny_bridge, tiny_tokenizer
from tokenizers import pre_tokenizers

from role_lens import Patch, RoleLensError, RoleVectors
from role_lens.directions import cosine_similarity
from role_lens.finders import FINDERS
from role_lens.reading import (
    geometry_by_layer,
    layer_logprobs,
    likeness_by_chance,
    logit_lens,
    most_likely,
    name_logits,
    role_tree,
)
from role_lens.reading.lens import lens_logits
from role_lens.reporting import plot_by_layer, plot_cosines, plot_scores
from role_lens.scoring import answer_logprobs, kl_divergence


@pytest.fixture(scope="module")
def vectors():
    from conftest import build

    roles = {
        "poet": ["Rhyme?", "Ode!", "Scan.", "Why?"],
        "cook": ["Salt?", "Boil.", "Stew.", "Hot?"],
    }
    return RoleVectors.fit(build("llama"), roles, ["Tea?", "Lunch.", "So?", "Late."], compute=QUIET)


def test_unknown_finders_are_refused_before_anything_else(llama):
    message = "unknown finder 'odds': expected one of .*means"
    with pytest.raises(RoleLensError, match=message):
        FINDERS["odds"]
    with pytest.raises(RoleLensError, match=message):
        RoleVectors.fit(llama, {}, [], finder="odds", compute=QUIET)


def test_logit_lens_of_the_last_residual_is_the_prediction(model):
    """Read at the end of the last block, the lens says what the model says."""
    seen = []

    def keep(x, hook):
        seen.append(x[0, -1])

    tokens = torch.tensor([[40, 41, 42, 50]])
    last = model.cfg.n_layers - 1
    with torch.no_grad(), model.hooks(fwd_hooks=[(f"blocks.{last}.hook_resid_post", keep)]):
        logits = model(tokens)[0, -1]
    best = logits.topk(4).indices.tolist()
    words = logit_lens(model, torch.stack([seen[0], -seen[0]]), top_k=4)
    assert words[0] == [model.tokenizer.decode([i]) for i in best]
    assert words[1] != words[0]


def test_geometry_by_layer(vectors):
    table = geometry_by_layer(vectors)
    assert len(table) == 2 * len(vectors.positions) * 3
    row = table[(table.contrast == "base") & (table.position == -1) & (table.layer == 2)].iloc[0]
    assert 0 < row.shared < 1
    # Directions of contrast roles sum to zero: of their mean there is rounding only.
    assert table[table.contrast == "roles"].shared.isna().all()
    a, b = vectors.directions("base")[:, -1, 2]
    assert row.mean_cosine == pytest.approx(float(torch.cosine_similarity(a, b, dim=0)), abs=1e-5)
    assert row.mean_norm == pytest.approx(float((a.norm() + b.norm()) / 2), rel=1e-5)
    d = vectors.separation["base"][:, -1, 2]
    expected = (0.5 * (1 + torch.erf(d / 2))).mean()
    assert row.auc == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("numbers", [(4, 4, 4, 16), (3, 6, 12, 5)])
def test_likeness_by_chance(vectors, numbers):
    """That of means of so many random prompts, all of one kind."""
    generator = torch.Generator().manual_seed(0)
    means = [torch.randn((n, 20_000), generator=generator).mean(dim=0) + 1 for n in numbers]
    drawn = replace(
        vectors,
        roles=("a", "b", "c"),
        positions=(-1,),
        role_means=torch.stack(means[:3])[:, None, None],
        base_mean=means[3][None, None],
        role_counts=torch.tensor(numbers[:3]),
        base_count=numbers[3],
        separation={},
    )
    found = geometry_by_layer(drawn)[["contrast", "mean_cosine", "shared"]]
    pd.testing.assert_frame_equal(likeness_by_chance(drawn), found, atol=0.02)


def test_geometry_of_merged_vectors(vectors):
    """Their separation can't be told from their means; all else is there."""
    table = geometry_by_layer(vectors.merge(vectors))
    assert table[["d_prime", "auc"]].isna().all(axis=None)
    alone = geometry_by_layer(vectors).drop(columns=["d_prime", "auc"])
    pd.testing.assert_frame_equal(table.drop(columns=["d_prime", "auc"]), alone, rtol=1e-4)


def test_geometry_of_one_role(vectors):
    from conftest import build

    one = RoleVectors.fit(build("llama"), {"poet": ["a", "b"]}, ["c"], compute=QUIET)
    table = geometry_by_layer(one)
    assert set(table.contrast) == {"base"}
    assert table[["mean_cosine", "shared"]].isna().all(axis=None)
    assert likeness_by_chance(one)[["mean_cosine", "shared"]].isna().all(axis=None)


def test_figures_are_written_whole(vectors, tmp_path):
    plot_by_layer(geometry_by_layer(vectors), tmp_path / "a.png", position=-1)
    table = pd.DataFrame(np.eye(2), index=vectors.roles, columns=vectors.roles)
    plot_cosines({"x": table, "y": -table}, tmp_path / "b.png")
    summary = pd.DataFrame(
        {
            "patch": ["baseline"],
            "scoring": ["letter"],
            "n": [4],
            "accuracy": [0.5],
            "chance": [0.25],
        }
    )
    plot_scores(summary, tmp_path / "c.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png", "c.png"]
    for path in tmp_path.iterdir():
        assert path.read_bytes()[:4] == b"\x89PNG"


def test_role_tree_joins_the_nearest_first():
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.99, 0.1], [0.1, 0.99]])
    merges, order = role_tree(cosine_similarity(directions))
    assert {frozenset(merge[:2].astype(int)) for merge in merges[:2]} == {
        frozenset({0, 2}),
        frozenset({1, 3}),
    }
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == 1
    assert (merges[:, 2] >= 0).all()


def test_the_last_layer_says_what_the_model_says(model):
    """Also with a patch on, which is seen from its layer on."""
    direction = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    patch = Patch.add(direction, layer=1, coefficient=3.0)
    plain, patched = (layer_logprobs(model, "Tea?", one) for one in (None, patch))
    assert plain.shape[0] == model.cfg.n_layers + 1
    for found, one in ((plain, None), (patched, patch)):
        torch.testing.assert_close(
            found[-1][None], answer_logprobs(model, ["Tea?"], one), atol=1e-4, rtol=1e-4
        )
    torch.testing.assert_close(plain[0], patched[0])
    kl = kl_divergence(plain, patched)
    assert kl[0] == 0
    assert (kl[1:] > 1e-4).all()
    table = most_likely(model, plain, top_k=3)
    assert len(table) == 3 * (model.cfg.n_layers + 1)
    last = table[table["layer"] == model.cfg.n_layers]
    assert last["logprob"].is_monotonic_decreasing
    assert last["token"].iloc[0] == model.tokenizer.decode([int(plain[-1].argmax())])


@pytest.mark.skipif(
    importlib.util.find_spec("transformer_lens.tools.analysis.logit_lens") is None,
    reason="needs TransformerLens 4",
)
def test_agrees_with_transformer_lens(model):
    from transformer_lens.tools.analysis.logit_lens import logit_readout

    vectors = torch.randn(4, model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    theirs = logit_readout(model, vectors).values
    torch.testing.assert_close(lens_logits(model, vectors), theirs, atol=1e-4, rtol=1e-4)


def test_name_logits_are_the_mean_logit_of_the_name_s_tokens(model):
    """As they are inside a sentence, with the space before them."""
    rows = torch.randn(4, model.cfg.d_model)
    found = name_logits(model, rows, ["poet", "a cook"])
    logits = lens_logits(model, rows)
    for column, name in enumerate((" poet", " a cook")):
        ids = model.tokenizer(name, add_special_tokens=False)["input_ids"]
        assert len(ids) == len(name)
        expected = sum(logits[:, i] for i in ids) / len(ids)
        torch.testing.assert_close(found[:, column], expected)


def test_names_are_read_without_a_space_of_their_own(llama):
    """Some tokenizers begin every text with one, which would count as a token of the name."""
    rows = torch.randn(4, llama.cfg.d_model)
    tokenizer = tiny_tokenizer(template=None)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    model = tiny_bridge("llama", tokenizer=tokenizer)
    assert len(model.tokenizer("poet")["input_ids"]) == len(" poet")
    torch.testing.assert_close(
        name_logits(model, rows, ["poet"]), name_logits(llama, rows, ["poet"])
    )


def test_logits_of_a_half_precision_model_are_not_rounded():
    model = tiny_bridge("llama").to(torch.bfloat16)
    rows = torch.randn(4, model.cfg.d_model)
    found = lens_logits(model, rows)
    assert (found != found.bfloat16().float()).float().mean() > 0.9
