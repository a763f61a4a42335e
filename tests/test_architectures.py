"""The package against transformers alone, on architectures of every kind, by the checks of
`benchmarks/agreement.py`; and models that can't be padded, or not be looked into."""

import pytest
import torch
from agreement import CHECKS, tried
from tiny import BASE, HAS_HOOKED_TRANSFORMER, QUIET, ROLES
from tiny_families import FAMILIES, bridged, tiny_model

from role_lens import Asking, Patch, Question, RoleLensError, RoleVectors, attribute, evaluate
from role_lens._run.padding import ignores_padding

# Of models that are scored by whole passes, and of contrasts of two roles.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
from_4 = pytest.mark.skipif(
    HAS_HOOKED_TRANSFORMER, reason="TransformerLens 3.9 runs this architecture otherwise"
)
SHORT = ("gemma2", "gptj", "granite", pytest.param("qwen3_next", marks=from_4))
# One of each kind; the script tries all.
LONG = ("bamba", "cohere2", "gemma4_text", "jamba", "lfm2", "mamba", "olmo2", "qwen3_5_text")
# Of what transformers itself does otherwise: Bamba's positions after a cache begin at 0 again.
OTHERS = {"bamba": {"generation": "differs"}}
QUESTIONS = [
    Question(f"q{i}", f"Which{' one' * i}?", ("a", "bc", "def x")[: 2 + i % 2], i % 2, "s", "d")
    for i in range(3)
]


def bridge(family):
    return bridged(tiny_model(family), f"tiny-{family}")


@pytest.mark.parametrize("family", SHORT)
def test_gives_what_transformers_gives(family):
    row = tried(family, checks=("loads", "fit", "add", "ablate", "letters"))
    assert {*row.values()} == {family, "ok", ""}, row["notes"]


@pytest.mark.long
@pytest.mark.parametrize("family", [*SHORT, *LONG])
def test_gives_what_transformers_gives_in_all(family):
    row = tried(family, checks=[name for name in CHECKS if name != "replayed"])
    expected = dict.fromkeys(row, "ok") | {"family": family} | OTHERS.get(family, {})
    assert row == expected | {"notes": row["notes"]}, row["notes"]


@from_4
@pytest.mark.parametrize("family", ["deepseek_v4", "hrm_text"])
def test_without_a_residual_stream_of_its_blocks_a_model_is_refused(family):
    """One has several streams side by side, the other two stacks of blocks."""
    model = bridge(family)
    patch = Patch.add(torch.ones(32), layer=1)
    message = rf"tiny-{family} has no hook point blocks\.\d\.hook_resid_pre"
    with pytest.raises(RoleLensError, match=message):
        RoleVectors.fit(model, ROLES, BASE, positions=[-1], compute=QUIET)
    with pytest.raises(RoleLensError, match=message), patch.on(model):
        pass
    with pytest.raises(RoleLensError, match=message):
        evaluate(model, QUESTIONS, {"x": patch}, compute=QUIET)


@pytest.mark.parametrize("family", ["recurrent_gemma", "zamba2"])
def test_ablation_needs_to_look_into_blocks(family):
    """Of these blocks TransformerLens gives what enters and what leaves, but not what is read
    between their parts."""
    model = bridge(family)
    message = r"no hook points inside block \d of this model"
    with pytest.raises(RoleLensError, match=message), Patch.ablate(torch.ones(32)).on(model):
        pass
    with Patch.clamp(torch.ones(32), layer=1, value=0.5).on(model):
        pass


@pytest.mark.parametrize(
    "family", ["recurrent_gemma", pytest.param("rwkv", marks=pytest.mark.long)]
)
def test_who_does_not_ignore_padding_gets_none(family):
    model = bridge(family)
    assert not ignores_padding(model)
    patches = {"x": Patch.add(torch.ones(32), layer=1)}
    for scoring in ("letter", "cloze"):
        together = evaluate(model, QUESTIONS, patches, Asking(scoring), compute=QUIET)
        for number, question in enumerate(QUESTIONS):
            alone = evaluate(model, [question], patches, Asking(scoring), compute=QUIET)
            assert together["logprob_0"][number] == pytest.approx(alone["logprob_0"][0], abs=1e-5)
    vectors = RoleVectors.fit(model, ROLES, BASE, positions=[-1], compute=QUIET)
    with pytest.raises(RoleLensError, match="doesn't ignore padding"):
        attribute(model, vectors, QUESTIONS, compute=QUIET)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba", "mpt", "granitemoehybrid"])
def test_who_ignores_padding(family):
    assert ignores_padding(bridge(family))


def test_a_block_whose_output_is_not_given_is_refused():
    """TransformerLens calls no hook on the lists that GPT-1's blocks return."""
    model = bridge("openai-gpt")
    vectors = RoleVectors.fit(model, ROLES, BASE, positions=[-1], compute=QUIET)
    with pytest.raises(RoleLensError, match="doesn't give what leaves the last block of tiny-open"):
        attribute(model, vectors, QUESTIONS, compute=QUIET)


@pytest.mark.long
def test_families_are_known_to_transformer_lens():
    """At least 48 of them; each as transformers' own class, or as its checkpoints name it."""
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES

    names = {name for family in FAMILIES for name in tiny_model(family).config.architectures}
    assert names <= set(SUPPORTED_ARCHITECTURES)
    assert len(names) >= 48
