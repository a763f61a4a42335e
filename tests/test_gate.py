"""Gates: a prompt gets exactly what it gets with the patch, or without it."""

import numpy as np
import pytest
import torch
from tiny import QUIET

from role_lens import (
    Asking,
    Exam,
    Gate,
    Patch,
    Question,
    RoleLensError,
    Sampling,
    encode_chat,
    evaluate,
    generate,
)
from role_lens._run.activations import activations_at
from role_lens.experiments import judge_patch
from role_lens.generation import complete
from role_lens.interop import export_patch
from role_lens.patches import acting, read_patches, write_patches
from role_lens.scoring import hash_of_patches
from role_lens.tuning import tune

PROMPTS = ["Tea?", "Why is that so?", "A rather longer prompt than the other.", "Lunch!", "Go on."]


@pytest.fixture
def gate(llama, vectors):
    """One that some of the prompts open."""
    direction = vectors.direction("cook", layer=1)
    found = Gate(direction, layer=1, threshold=0.0).projections(llama, PROMPTS)
    return Gate(direction, layer=1, threshold=float(found.median()))


@pytest.fixture
def strong(vectors):
    return vectors.add("poet", layer=2, coefficient=60.0)


def test_a_projection_is_that_of_the_named_layer_and_token(llama, vectors):
    direction = vectors.direction("cook", layer=2)
    gate = Gate(direction, layer=2, threshold=0.5, position=-2)
    (states,) = activations_at(llama, encode_chat(llama, PROMPTS), [(2, -2)])
    expected = states @ (direction / direction.norm())
    torch.testing.assert_close(gate.projections(llama, PROMPTS), expected)
    assert torch.equal(gate.opens(llama, PROMPTS), expected > 0.5)
    table = gate.rates(llama, {"all": PROMPTS, "first": PROMPTS[:1]})
    assert table["n"].tolist() == [5, 1]
    assert table["opens"].tolist() == [float((expected > 0.5).float().mean()), expected[0] > 0.5]
    np.testing.assert_allclose(table["projection"][0], expected.mean(), rtol=1e-4)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_texts_are_those_with_the_patch_or_without(llama, gate, strong, use_cache, temperature):
    how = {"sampling": Sampling(temperature, use_cache=use_cache), "max_new_tokens": 6}
    opens = gate.opens(llama, PROMPTS).tolist()
    assert 0 < sum(opens) < len(opens)
    plain = generate(llama, PROMPTS, **how)
    steered = generate(llama, PROMPTS, patch=strong, **how)
    gated = generate(llama, PROMPTS, patch=strong.behind(gate), **how)
    assert gated == [
        s if is_open else p for s, p, is_open in zip(steered, plain, opens, strict=True)
    ]
    assert plain != gated != steered


def test_patches_behind_different_gates_act_together(llama, gate, strong, vectors):
    other = Gate(-gate.direction, layer=1, threshold=-gate.threshold - 1e-3)  # where that is shut
    always = vectors.add("cook", layer=1)
    patches = (strong.behind(gate), vectors.ablate("cook", layer=2).behind(other), always)
    divided = acting(llama, encode_chat(llama, PROMPTS), patches)
    assert sorted(row for rows in divided.values() for row in rows) == [0, 1, 2, 3, 4]
    opens = gate.opens(llama, PROMPTS)
    for some, rows in divided.items():
        assert all(patch.gate is None for patch in some)
        assert {patch.kind for patch in some} == {"add", "add" if opens[rows[0]] else "ablate"}
    texts = generate(llama, PROMPTS, patch=patches, max_new_tokens=5)
    for some, rows in divided.items():
        alone = generate(llama, [PROMPTS[row] for row in rows], patch=some, max_new_tokens=5)
        assert [texts[row] for row in rows] == alone


@pytest.mark.parametrize("scoring", ["letter", "cloze", "generate"])
def test_scores_are_those_with_the_patch_or_without(llama, vectors, strong, scoring):
    options = ("ink", "oil", "an egg")
    questions = [
        Question(f"q{i}", text, options, i % 3, "s", "d") for i, text in enumerate(PROMPTS)
    ]
    direction, asking = vectors.direction("cook", layer=1), Asking(scoring=scoring)
    shut, wide = (Gate(direction, layer=1, threshold=far) for far in (1e9, -1e9))
    patches = {
        "plain": None,
        "on": strong,
        "shut": strong.behind(shut),
        "wide": strong.behind(wide),
    }
    named = ["correct"] if scoring == "generate" else [f"logprob_{i}" for i in range(3)]
    table = evaluate(llama, questions, patches, asking, compute=QUIET).set_index("patch")[named]
    for gated, free in (("shut", "plain"), ("wide", "on")):
        np.testing.assert_array_equal(table.loc[gated].to_numpy(), table.loc[free].to_numpy())
    if scoring != "generate":
        assert not np.allclose(table.loc["plain"], table.loc["on"])


def test_a_gate_in_the_middle_scores_row_by_row(llama, vectors, strong):
    questions = [
        Question(f"q{i}", text, ("ink", "oil"), 0, "s", "d") for i, text in enumerate(PROMPTS)
    ]
    from role_lens.scoring import Asker

    asked = Asker(llama, compute=QUIET).ask(questions)
    prompts = [item.prompt for item in asked.items]
    direction = vectors.direction("cook", layer=1)
    (states,) = activations_at(llama, prompts, [(1, -1)])
    found = states @ (direction / direction.norm())
    gate = Gate(direction, layer=1, threshold=float(found.median()))
    gated = strong.behind(gate)
    plain, on, some = (
        asked.scorer().logprobs([candidate])[0] for candidate in ((), (strong,), (gated,))
    )
    opens = found > gate.threshold
    assert 0 < int(opens.sum()) < len(opens)
    torch.testing.assert_close(some[opens], on[opens])
    torch.testing.assert_close(some[~opens], plain[~opens])


def test_fit_finds_the_threshold_between_two_sets(llama, vectors):
    direction = vectors.direction("cook", layer=2)
    found = Gate(direction, layer=2, threshold=0.0).projections(llama, PROMPTS)
    order = found.argsort().tolist()
    low, high = [PROMPTS[i] for i in order[:2]], [PROMPTS[i] for i in order[2:]]
    gate = Gate.fit(llama, direction, layer=2, opening=high, closed=low)
    assert gate.opens(llama, high).all()
    assert not gate.opens(llama, low).any()
    middle = (found[order[1]] + found[order[2]]) / 2
    assert gate.threshold == pytest.approx(float(middle), rel=1e-4, abs=1e-6)
    # With one prompt in the wrong set the best threshold stays where it was.
    gate = Gate.fit(llama, direction, layer=2, opening=high, closed=[*low, *low, high[-1]])
    assert gate.threshold == pytest.approx(float(middle), rel=1e-4, abs=1e-6)
    with pytest.raises(RoleLensError, match="no threshold tells these prompts apart"):
        Gate.fit(llama, direction, layer=2, opening=low, closed=high)
    with pytest.raises(RoleLensError, match="all prompts have the same projection"):
        Gate.fit(llama, direction, layer=2, opening=low[:1], closed=low[:1])


def test_a_file_keeps_the_gate(llama, gate, strong, tmp_path):
    path = tmp_path / "gated.safetensors"
    both = (strong.behind(gate), strong)
    write_patches(path, both, about={"role": "poet"})
    one, other = read_patches(path).patches
    assert other.gate is None
    assert (one.gate.layer, one.gate.position) == (gate.layer, gate.position)
    assert one.gate.threshold == gate.threshold
    torch.testing.assert_close(one.gate.direction, gate.direction)
    prompts = PROMPTS[:2]
    assert generate(llama, prompts, patch=one) == generate(llama, prompts, patch=both[0])
    assert hash_of_patches([one]) != hash_of_patches([other])
    for seed in range(20):  # a unit vector that is normalised again would often differ
        direction = torch.randn(32, generator=torch.Generator().manual_seed(seed))
        patch = strong.behind(Gate(direction, layer=1, threshold=0.5))
        patch.save(path)
        assert hash_of_patches([Patch.load(path)]) == hash_of_patches([patch])


def test_a_gate_sees_the_prompt_and_not_how_the_answer_begins(llama, gate, strong):
    opens = gate.opens(llama, PROMPTS).tolist()
    begun = ["Well"] * len(PROMPTS)
    plain, on, some = (
        [one.text for one in complete(llama, PROMPTS, patch=p, begun=begun, max_new_tokens=5)]
        for p in (None, strong, strong.behind(gate))
    )
    assert some == [s if is_open else p for s, p, is_open in zip(on, plain, opens, strict=True)]


def test_what_can_not_decide_for_each_prompt_refuses(llama, gate, strong, tmp_path):
    gated = strong.behind(gate)
    with pytest.raises(RoleLensError, match="acts at some prompts only, which hooks can't decide"):
        gated.on(llama)
    with pytest.raises(RoleLensError, match="a patch with a gate can't be expressed"):
        export_patch(gated, tmp_path / "gated.gguf")
    with pytest.raises(RoleLensError, match="the patch is behind a gate"):
        tune(llama, gated, tmp_path / "run")
    questions = [Question("q", "Which?", ("ink", "oil"), 0, "s", "d")]
    with pytest.raises(RoleLensError, match="the patch is behind a gate"):
        judge_patch(llama, gated, Exam(questions), tmp_path / "judged")
    with pytest.raises(RoleLensError, match="a matter of the prompt"):
        gated.apply(torch.zeros(1, 1, 32))
    assert gated.behind(None).gate is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: Gate(d, layer=-1, threshold=0.0), "layer must be at least 0"),
        (lambda d: Gate(d, layer=1, threshold=float("nan")), "threshold must be a number, got nan"),
        (lambda d: Gate(d, layer=1, threshold=0.0, position=0), "-1 is the last token; got 0"),
        (lambda d: Gate(0 * d, layer=1, threshold=0.0), "zero"),
    ],
)
def test_bad_gates(make, message):
    with pytest.raises(RoleLensError, match=message):
        make(torch.ones(32))


def test_gates_of_another_model_are_refused(llama, strong):
    for gate, message in (
        (Gate(torch.ones(8), layer=1, threshold=0.0), "the gate's direction has 8 dimensions"),
        (Gate(torch.ones(32), layer=9, threshold=0.0), "layer"),
        (Gate(torch.ones(32), layer=1, threshold=0.0, fingerprint=(9.0,) * 8), "model"),
    ):
        with pytest.raises(RoleLensError, match=message):
            generate(llama, "Tea?", patch=strong.behind(gate))
