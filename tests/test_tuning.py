"""Strengths: which are tried, what breaks a guard, and what is chosen; a planted loop is caught."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import QUIET

from role_lens import Patch, RoleLensError
from role_lens.cli import main
from role_lens.judges import repetition
from role_lens.tuning import Guards, TuneOptions, tune
from role_lens.tuning.search import best, search

NO_GUARDS = Guards(None, None, None, None, None)
FEW = TuneOptions(
    prompts=("Tea?", "Lunch!"), neutral=("Why?", "How?"), max_new_tokens=16, guards=NO_GUARDS
)


@dataclass
class Made:
    broken: str
    aim: float


def made(limit, peak):
    """Breaks beyond a limit; comes nearest to the aim at the peak."""
    asked = []

    def trial(strength):
        asked.append(strength)
        return Made("kl" if strength > limit else "", -abs(strength - peak))

    return trial, asked


@pytest.mark.parametrize("limit", [0.3, 1.0, 2.9, 11.0])
def test_bisection_finds_where_a_guard_breaks(limit):
    trial, asked = made(limit, peak=1e9)
    found = search(trial, TuneOptions(bisections=6, refinements=0))
    within = max(strength for strength in asked if strength <= limit)
    assert best(found) == within
    beyond = min(strength for strength in asked if strength > limit)
    assert beyond - within <= max(1.0, 2 ** math.ceil(math.log2(limit)) / 2) / 2**6 * 1.001
    assert sorted(asked) == list(found)
    assert len(set(asked)) == len(asked)


def test_the_best_is_not_the_strongest():
    trial, _ = made(limit=12.0, peak=3.1)
    coarse = best(search(trial, TuneOptions(refinements=0)))
    fine = best(search(trial, TuneOptions(refinements=3)))
    assert coarse == 4.0
    assert abs(fine - 3.1) < 0.3


def test_nothing_is_tried_beyond_the_most_and_none_may_be_within():
    trial, asked = made(limit=math.inf, peak=0.0)
    found = search(trial, TuneOptions(start=0.5, most=4.0, refinements=0))
    assert best(found) is None  # none is better than no patch
    assert best(found | {0.0: Made("", -0.7)}) == 0.5
    assert asked == [0.0, 0.5, 1.0, 2.0, 4.0]
    trial, asked = made(limit=0.0, peak=0.0)
    assert best(search(trial, TuneOptions(bisections=2))) is None
    assert asked == [0.0, 1.0, 0.5, 0.25]


def test_a_guard_that_holds_again_at_more_strength_has_ended_it_before():
    found = {0.0: Made("", 0.0), 1.0: Made("", 1.0), 2.0: Made("kl", 2.0), 4.0: Made("", 9.0)}
    assert best(found) == 1.0


@pytest.mark.parametrize(
    ("costs", "broken"),
    [
        ({"kl": 0.1, "fluency_loss": 0.1}, ""),
        ({"kl": 9.0, "cut_off": 1.0}, "kl"),
        ({"cut_off": 0.9}, "cut_off"),
        ({"fluency_loss": math.nan}, "fluency_loss"),  # no text at all
        ({"repetition": 0.16}, "repetition"),
    ],
)
def test_guards(costs, broken):
    assert Guards().broken(costs) == broken
    assert NO_GUARDS.broken(costs) == ""


def test_loops_without_spaces_are_loops():
    assert repetition("a" * 60) > 0.9
    assert repetition("很好" * 30) > 0.8
    assert repetition("Donaudampfschifffahrtsgesellschaft is one word of that kind") < 0.2


def test_a_planted_loop_is_caught(llama, tmp_path):
    """A direction that makes one token always the likeliest: the first answer token may be the
    same as before, and only the texts show it."""
    (token,) = llama.tokenizer.encode("a", add_special_tokens=False)
    head = llama.W_U[:, token].detach()
    loop = Patch.add(head / head.norm(), layer=llama.cfg.n_layers - 1, tokens="generated")
    only = Guards(None, None, 0.3, None, None)
    options = replace(FEW, max_new_tokens=60, start=4.0, most=512.0, guards=only)
    how = {"options": options, "compute": QUIET, "score": lambda t: [1.0] * len(t)}
    tuned = tune(llama, loop, tmp_path, **how)
    assert tuned.ended_by == "repetition"
    table = tuned.table.set_index("strength")
    assert (table["kl"] == 0).all()  # a KL of the first token is blind to it
    strongest = tuned.texts[tuned.texts["strength"] == table.index.max()]
    assert any("a" * 12 in text for text in strongest["text"])
    assert tuned.strength is None  # the score is the same everywhere


def test_the_rank_of_a_role_and_what_is_kept(llama, vectors, tmp_path, monkeypatch):
    patch = vectors.add("poet", layer=1)
    options = replace(FEW, most=2.0, bisections=1)
    tuned = tune(llama, patch, tmp_path, role="nurse", options=options)
    assert tuned.table["strength"].tolist()[0] == 0
    assert tuned.table["chosen"].sum() == 1
    assert tuned.patches[0].value == tuned.strength
    chosen = tuned.table[tuned.table["chosen"]].iloc[0]
    assert chosen["aim"] == tuned.table["aim"].max() > tuned.table["aim"].iloc[0] == -15
    assert tuned.texts["aim"].between(-29, -1).all()
    assert tuned.table["aim_se"].iloc[0] == 0
    assert pd.read_parquet(tmp_path / "strengths.parquet").equals(tuned.table)

    def never(*args, **kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr("role_lens.tuning.strengths.complete", never)
    monkeypatch.setattr("role_lens.tuning.strengths.role_likelihoods", never)
    again = tune(llama, patch, tmp_path, role="nurse", options=options)
    assert again.table.equals(tuned.table)
    strict = replace(options, guards=Guards(max_kl=0.0))
    strict = tune(llama, patch, tmp_path, role="nurse", options=strict)
    assert (strict.strength, strict.ended_by) == (None, "kl")


def test_several_patches_have_one_strength(llama, vectors, tmp_path):
    both = vectors.add("poet", layer=1, coefficient=2.0), vectors.add("cook", layer=2)
    options = replace(FEW, start=0.5, most=0.5, refinements=0)
    how = {"options": options, "compute": QUIET}
    seen = []

    def rising(texts):
        seen.append(texts)
        return np.full(len(texts), float(texts != seen[0]))

    tuned = tune(llama, both, tmp_path / "some", score=rising, **how)
    assert [one.value for one in tuned.patches] == [1.0, 0.5]
    none = tune(llama, both, tmp_path / "none", score=lambda texts: np.ones(len(texts)), **how)
    assert none.strength is None
    with pytest.raises(RoleLensError, match="no strength is chosen"):
        _ = none.patches


def test_refused(llama, vectors, tmp_path):
    patch = vectors.add("poet", layer=1)
    for both in ({}, {"role": "poet", "score": len}):
        with pytest.raises(RoleLensError, match="one thing to aim at"):
            tune(llama, patch, tmp_path, **both)
    for other in (vectors.ablate("poet", layer=1), Patch.cap(torch.ones(32), layer=1, value=2.0)):
        with pytest.raises(RoleLensError, match="has no strength"):
            tune(llama, other, tmp_path, role="poet")
    with pytest.raises(RoleLensError, match="number is 0"):
        tune(llama, vectors.add("poet", layer=1, coefficient=0.0), tmp_path, role="poet")
    with pytest.raises(RoleLensError, match="expected a patch to tune, got None"):
        tune(llama, None, tmp_path, role="poet")
    with pytest.raises(RoleLensError, match="shape"):
        tune(llama, patch, tmp_path, score=lambda texts: [1.0], options=FEW, compute=QUIET)
    for score in (lambda texts: [math.nan] * 2, lambda texts: "ab"):
        with pytest.raises(RoleLensError, match="score"):
            tune(llama, patch, tmp_path, score=score, options=FEW, compute=QUIET)
    for wrong in (
        {"temperature": -1.0},
        {"start": 0.0},
        {"start": 2.0, "most": 1.0},
        {"bisections": -1},
        {"prompts": (" ",)},
    ):
        with pytest.raises(RoleLensError):
            TuneOptions(**wrong)
    with pytest.raises(RoleLensError, match="max_kl must be at least 0"):
        Guards(max_kl=-1.0)
    wide = Patch.add(torch.ones(3), layer=1)
    with pytest.raises(RoleLensError):
        tune(llama, wide, tmp_path, role="poet")
    assert main(["tune", "--out", str(tmp_path / "x"), "--patch", "none.safetensors"]) == 2
