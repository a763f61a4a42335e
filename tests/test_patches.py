import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import QUIET

from role_lens import (
    DirectionSpec,
    Grid,
    Patch,
    Question,
    RoleLensError,
    activations_at,
    encode_chat,
    evaluate,
    generate,
)
from role_lens._run.forward import last_logits
from role_lens._run.tokens import pad_left
from role_lens.patches import KINDS, TokenWindow, attached
from role_lens.reading import layer_logprobs

MADE = {
    "add": lambda d: Patch.add(d, layer=1, coefficient=2.0),
    "add_normed": lambda d: Patch.of("add_normed", d, layer=1, value=2.0),
    "ablate": Patch.ablate,
    "clamp": lambda d: Patch.clamp(d, layer=1, value=3.0),
    "cap": lambda d: Patch.cap(d, layer=1, value=0.1),
    "floor": lambda d: Patch.of("floor", d, layer=1, value=3.0),
    "rotate": lambda d: Patch.of("rotate", d, layer=1, value=40.0),
}


def batch_of(model, texts=("Why is that?", "A rather longer prompt than the other.")):
    return pad_left(model, encode_chat(model, texts), range(len(texts)))


def direction_for(model, seed=0):
    return torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def stream(model, batch, *patches):
    """Everything written to the residual stream, under patches."""
    names = [
        f"blocks.{layer}.{write}"
        for layer in range(model.cfg.n_layers)
        for write in ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
    ]
    seen = {}

    def keep(name):
        def hook_function(x, hook):
            seen[name] = x.detach().clone()

        return hook_function

    with attached(model, patches), model.hooks(fwd_hooks=[(n, keep(n)) for n in names]):
        logits = model(batch.tokens, attention_mask=batch.mask)
    return seen, logits


def test_ablated_projection_is_zero_everywhere(model):
    batch, direction = batch_of(model), direction_for(model)
    unit = direction / direction.norm()
    before, _ = stream(model, batch)
    after, _ = stream(model, batch, Patch.ablate(direction))
    assert len(after) == 4 * model.cfg.n_layers
    for name, x in after.items():
        assert (x @ unit).abs().max() < 1e-4 * (1 + x.norm(dim=-1).max()), name
    assert max((x @ unit).abs().max() for x in before.values()) > 0.1


def test_ablating_twice_is_ablating_once(model):
    batch, patch = batch_of(model), Patch.ablate(direction_for(model))
    _, once = stream(model, batch, patch)
    _, twice = stream(model, batch, patch, patch)
    torch.testing.assert_close(once, twice, atol=1e-4, rtol=1e-4)


def test_addition_by_hand(model):
    batch, direction = batch_of(model), direction_for(model)
    before, plain = stream(model, batch)
    after, changed = stream(model, batch, Patch.add(direction, layer=1, coefficient=-1.5))
    expected = before["blocks.1.hook_resid_pre"] - 1.5 * direction
    torch.testing.assert_close(after["blocks.1.hook_resid_pre"], expected)
    torch.testing.assert_close(after["blocks.0.hook_attn_out"], before["blocks.0.hook_attn_out"])
    assert (changed - plain).abs().max() > 1e-2


def test_adding_and_taking_away_restores(model):
    batch, direction = batch_of(model), direction_for(model)
    _, plain = stream(model, batch)
    there = Patch.add(direction, layer=[0, 2], coefficient=4.0)
    back = Patch.add(direction, layer=[0, 2], coefficient=-4.0)
    _, restored = stream(model, batch, there, back)
    torch.testing.assert_close(plain, restored, atol=1e-3, rtol=1e-3)


def test_clamp_and_cap_by_hand(model):
    batch, direction = batch_of(model), direction_for(model)
    unit = direction / direction.norm()
    x = stream(model, batch)[0]["blocks.1.hook_resid_pre"]
    clamped = stream(model, batch, MADE["clamp"](direction))[0]["blocks.1.hook_resid_pre"]
    torch.testing.assert_close(clamped @ unit, torch.full(x.shape[:2], 3.0), atol=1e-4, rtol=0)
    capped = stream(model, batch, MADE["cap"](direction))[0]["blocks.1.hook_resid_pre"]
    torch.testing.assert_close(capped @ unit, (x @ unit).clamp(max=0.1), atol=1e-4, rtol=1e-4)
    for changed in (clamped, capped):  # nothing but the projection changes
        across = changed - (changed @ unit)[..., None] * unit
        torch.testing.assert_close(across, x - (x @ unit)[..., None] * unit, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", MADE)
def test_batched_equals_one_by_one(model, kind):
    patch = MADE[kind](direction_for(model))
    sequences = encode_chat(model, ["Why?", "A rather longer prompt than the other.", "No."])
    with patch.on(model):
        together = last_logits(model, pad_left(model, sequences, range(3)))
        for i, ids in enumerate(sequences):
            alone = last_logits(model, pad_left(model, [ids], [0]))
            torch.testing.assert_close(alone[0], together[i], atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("kind", MADE)
def test_inputs_are_not_mutated(kind):
    direction = torch.randn(8)
    kept = direction.clone()
    patch = MADE[kind](direction)
    x = torch.randn(2, 3, 8)
    before = x.clone()
    changed = patch.apply(x, torch.tensor([[True, False, True]] * 2))
    assert torch.equal(x, before)
    assert torch.equal(direction, kept)
    assert torch.equal(changed[:, 1], x[:, 1])
    assert not torch.equal(changed[:, 0], x[:, 0])
    direction += 1  # the patch keeps a copy of its own
    assert torch.equal(patch.apply(x)[:, 0], changed[:, 0])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(["ablate", "clamp", "cap"]))
def test_projections_are_idempotent_and_keep_the_type(seed, kind):
    generator = torch.Generator().manual_seed(seed)
    patch = MADE[kind](torch.randn(6, generator=generator))
    x = torch.randn(2, 3, 6, generator=generator)
    once = patch.apply(x)
    torch.testing.assert_close(patch.apply(once), once, atol=1e-5, rtol=1e-5)
    assert patch.apply(x.bfloat16()).dtype == torch.bfloat16


def test_hooks_are_gone_after_an_exception(model):
    batch, patch = batch_of(model), MADE["add"](direction_for(model))
    plain = last_logits(model, batch)

    def fail(x, hook):
        raise RuntimeError("inside the model")

    with (
        pytest.raises(RuntimeError, match="inside the model"),
        patch.on(model),
        model.hooks(fwd_hooks=[("blocks.2.hook_resid_pre", fail)]),
    ):
        model(batch.tokens)
    assert not any(point.fwd_hooks for point in model.hook_dict.values())
    torch.testing.assert_close(last_logits(model, batch), plain)


def test_several_patches_act_in_order():
    x, direction = torch.zeros(1, 1, 4), torch.tensor([2.0, 0, 0, 0])
    add = Patch.add(direction, layer=0)
    cap = Patch.cap(direction, layer=0, value=1.0)
    assert cap.apply(add.apply(x))[0, 0, 0] == 1.0
    assert add.apply(cap.apply(x))[0, 0, 0] == 2.0


def test_order_on_a_model(llama):
    batch, direction = batch_of(llama), direction_for(llama)
    ablate, add = Patch.ablate(direction), Patch.add(direction, layer=1)
    unit = direction / direction.norm()
    name = "blocks.1.hook_resid_pre"
    assert (stream(llama, batch, add, ablate)[0][name] @ unit).abs().max() < 1e-4
    kept = stream(llama, batch, ablate, add)[0][name] @ unit
    torch.testing.assert_close(kept, torch.full_like(kept, float(direction.norm())))


def test_token_window():
    window = TokenWindow(torch.tensor([3, 2]))
    assert window.select("prompt", 4).tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert window.select("generated", 4).tolist() == [[0, 0, 0, 1], [0, 0, 1, 1]]
    assert window.select("last", 4).tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    assert window.select("all", 4).all()
    window.offset = 3  # under a cache only the newest column is seen
    assert window.select("generated", 1).tolist() == [[1], [1]]
    assert not window.select("last", 1).any()


@pytest.mark.parametrize("mask", ["not_first", "last", "answer", "prompt[1:4]"])
def test_masks_that_count_need_the_whole_text(llama, mask):
    """Of a pass with a cache they would name other tokens than of the text."""
    patch = Patch.add(direction_for(llama), layer=1, coefficient=5.0, tokens=mask)
    sequences = encode_chat(llama, ["Hi you", "Hi she"])  # of one length, as `on` asks for
    alone = [activations_at(llama, [ids], [(2, -1)])[0, 0] for ids in sequences]
    with patch.on(llama):
        together = activations_at(llama, sequences, [(2, -1)])[0]
        patched = [activations_at(llama, [ids], [(2, -1)])[0, 0] for ids in sequences]
        with pytest.raises(RoleLensError, match="a pass that continues a key-value cache: hand"):
            generate(llama, "Hi", max_new_tokens=3)
    torch.testing.assert_close(together, torch.stack(patched), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together, torch.stack(alone), atol=1e-2)
    assert generate(llama, "Hi", max_new_tokens=3) == generate(llama, "Hi", max_new_tokens=3)


def test_patches_that_would_change_nothing_are_refused(llama):
    late = Patch.add(direction_for(llama), layer=1, tokens="generated")
    for attach in (
        lambda: late.on(llama),
        lambda: attached(llama, [late]),
        lambda: layer_logprobs(llama, "Tea?", late),
    ):
        with pytest.raises(RoleLensError, match="has no token of a prompt"):
            attach()


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize("use", [lambda p, m: p.on(m), lambda p, m: p.check(m)])
@pytest.mark.parametrize("model", [None, torch.nn.Linear(2, 2), "llama"])
def test_what_is_no_model(use, model):
    with pytest.raises(RoleLensError, match="expected a model"):
        use(Patch.add(torch.ones(32), layer=1), model)


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize(
    ("places", "sequences", "message"),
    [
        ([], [[5]], "at least one pair of a layer and a position"),
        ([(99, -1)], [[5]], "layer 99 is out of range"),
        ([(-1, -1)], [[5]], "layer -1 is out of range"),
        ([(1, "x")], [[5]], "a position must be a whole number"),
        ([(1, -2)], [[5]], "-1 to -1 for the shortest prompt"),
        ([(1, -1)], [[5], []], "token ids of each prompt, got an empty list"),
    ],
)
def test_where_no_activations_are(llama, places, sequences, message):
    with pytest.raises(RoleLensError, match=message):
        activations_at(llama, sequences, places)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: Patch.add(d * 0, layer=1), "direction is zero"),
        (lambda d: Patch.ablate(d * float("nan")), "NaN or infinite"),
        (lambda d: Patch.add(d, layer=-1), "layers count from 0"),
        (lambda d: Patch.add(d, layer=[]), "at least one layer"),
        (lambda d: Patch.add(d, layer=[1, 1]), "layers must differ"),
        (lambda d: Patch.add(d, layer=1, coefficient=float("inf")), "of add must be finite"),
        (lambda d: Patch.clamp(d, layer=1, value=float("nan")), "value of clamp must be a number"),
        (lambda d: Patch.add(d, layer=9), "layer 9 is out of range: the model has layers 0 to 2"),
        (lambda d: Patch.add(torch.ones(5), layer=1), "5 dimensions, the model's .* 32"),
    ],
)
def test_bad_patches(llama, make, message):
    with pytest.raises(RoleLensError, match=message):
        make(torch.ones(32)).check(llama)


def test_unknown_token_mask():
    from role_lens.patches.token_masks import check_tokens

    with pytest.raises(RoleLensError, match="tokens must be one of"):
        check_tokens("first")


def test_kinds_are_the_files_of_a_folder():
    assert (
        KINDS.names
        == ("ablate", "add", "add_normed", "cap", "clamp", "floor", "rotate")
        == tuple(sorted(MADE))
    )
    assert {name: KINDS[name].number for name in KINDS} == {
        "ablate": None,
        "add": "coefficient",
        "add_normed": "coefficient",
        "cap": "value",
        "clamp": "value",
        "floor": "value",
        "rotate": "angle",
    }
    assert [name for name in KINDS if KINDS[name].raw] == ["add", "add_normed"]
    assert [name for name in KINDS if KINDS[name].everywhere] == ["ablate"]
    assert "reflect" not in KINDS


def test_unknown_kinds_are_refused_at_once(vectors):
    message = "unknown kind of patch 'reflect': expected one of ablate, add, add_normed, cap"
    for refuse in (
        lambda: KINDS["reflect"],
        lambda: KINDS.check("reflect"),
        lambda: Patch.of("reflect", torch.ones(4), layer=1),
        lambda: vectors.patch("reflect", DirectionSpec("nobody", layer=99)),
        lambda: Grid(kinds=("add", "reflect")),
    ):
        with pytest.raises(RoleLensError, match=message):
            refuse()
    with pytest.raises(RoleLensError, match="unknown kind of patch '_add'"):
        KINDS["_add"]


@pytest.mark.parametrize("kind", MADE)
def test_where_a_kind_acts(llama, kind):
    """Hook points that the model has, in the first layer and not before it."""
    found = KINDS[kind]
    layers = () if found.everywhere else (2, 1)
    names = found.hook_points(layers, llama)
    assert set(names) <= set(llama.hook_dict)
    first = found.first_layer(layers)
    assert min(int(name.split(".")[1]) for name in names) == first
    assert first == (0 if kind == "ablate" else 1)
    n = llama.cfg.n_layers
    places = ("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "hook_mlp_out")
    everywhere = [f"blocks.{layer}.{place}" for layer in range(n) for place in places]
    everywhere.append(f"blocks.{n - 1}.hook_resid_post")
    few = ["blocks.2.hook_resid_pre", "blocks.1.hook_resid_pre"]
    assert names == (everywhere if kind == "ablate" else few)
    patch = Patch.of(kind, torch.ones(llama.cfg.d_model), layer=layers, value=2.0)
    assert patch.hook_names(llama) == names
    assert patch.first_layer == first
    with patch.on(llama):
        assert all(llama.hook_dict[name].fwd_hooks for name in names)


@pytest.mark.parametrize("kind", [kind for kind in MADE if hasattr(Patch, kind)])
def test_of_makes_what_the_kind_s_own_name_makes(kind):
    direction = torch.tensor([3.0, 0.0, 4.0])
    value = {"add": 2.0, "clamp": 3.0, "cap": 0.1}.get(kind, 0.0)
    by_name = Patch.of(kind, direction, layer=1, value=value, tokens="last", fingerprint=(0.5,))
    options = {} if kind == "ablate" else {"layer": 1, "value": value}
    if kind == "add":
        options["coefficient"] = options.pop("value")
    own = getattr(Patch, kind)(direction, **options, tokens="last", fingerprint=(0.5,))
    for patch in (by_name, own):
        assert (patch.kind, patch.value, patch.tokens) == (kind, value, "last")
        assert patch.fingerprint == (0.5,)
        assert patch.layers == (() if kind == "ablate" else (1,))
        assert float(patch.direction.norm()) == pytest.approx(5.0 if kind == "add" else 1.0)
    x = torch.randn(2, 3, 3)
    assert torch.equal(by_name.apply(x), own.apply(x))


def test_an_addition_that_keeps_every_token_s_length():
    """In the plane of stream and direction, and towards the direction."""
    torch.manual_seed(0)
    direction, x = torch.randn(8), torch.randn(2, 3, 8)
    for coefficient in (0.5, 2.0, 1e4):
        y = Patch.of("add_normed", direction, layer=1, value=coefficient).apply(x)
        torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
        added = Patch.add(direction, layer=1, coefficient=coefficient).apply(x)
        cosines = torch.cosine_similarity(y, added, dim=-1)
        torch.testing.assert_close(cosines, torch.ones(2, 3))
    zero = Patch.of("add_normed", direction, layer=1, value=0.0)
    torch.testing.assert_close(zero.apply(x), x)
    against = Patch.of("add_normed", -x[0, 0], layer=1, value=1.0)  # nothing is left of the token
    assert against.apply(x)[0, 0].tolist() == [0.0] * 8


def test_a_rotation_turns_by_its_angle_and_never_past_the_direction():
    torch.manual_seed(0)
    direction, x = torch.randn(8), torch.randn(2, 3, 8)

    def angles(stream):
        cosines = torch.cosine_similarity(stream, direction.expand_as(stream), dim=-1)
        return torch.rad2deg(torch.acos(cosines.clamp(-1, 1)))

    before = angles(x)
    for degrees in (10.0, 60.0, -35.0, 400.0, -400.0):
        y = Patch.of("rotate", direction, layer=1, value=degrees).apply(x)
        torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
        expected = (before - degrees).clamp(0, 180)
        torch.testing.assert_close(angles(y), expected, atol=0.05, rtol=0)
        # In the plane of both: what is across the direction points where it did.
        u = direction / direction.norm()
        across, kept = (z - (z @ u)[..., None] * u for z in (y, x))
        inside = (expected > 1) & (expected < 179)
        cosines = torch.cosine_similarity(across, kept, dim=-1)[inside]
        torch.testing.assert_close(cosines, torch.ones_like(cosines), atol=1e-4, rtol=0)
    assert torch.equal(Patch.of("rotate", direction, layer=1, value=0.0).apply(x), x)
    along = 3 * direction.view(1, 1, 8)  # there is no plane
    assert torch.equal(Patch.of("rotate", direction, layer=1, value=30.0).apply(along), along)


def test_an_angle_is_by_default_that_between_the_means(vectors):
    """Of the role's prompts and of the base prompts, times the coefficient."""
    spec = DirectionSpec("cook", layer=2, position=-2, coefficient=0.5)
    means = vectors.role_means[1, vectors.positions.index(-2), 2], vectors.base_mean[0, 2]
    assert vectors.positions.index(-2) == 0
    cosine = float(torch.cosine_similarity(*means, dim=0))
    patch = vectors.patch("rotate", spec)
    assert patch.value == pytest.approx(0.5 * np.degrees(np.arccos(cosine)), rel=1e-3)
    assert vectors.patch("rotate", spec, value=12.0).value == 12.0


def test_a_schedule_shares_out_the_coefficient(llama, vectors):
    """Each layer takes its part of one direction, and the parts sum to the whole."""
    direction = vectors.direction("cook", layer=1)
    for schedule, layers in (("one", (1,)), ("range:1", (0, 1, 2)), ("bell:1", (0, 1, 2))):
        spec = DirectionSpec("cook", layer=1, coefficient=4.0, schedule=schedule)
        patch = vectors.patch("add", spec)
        assert patch.layers == layers[: llama.cfg.n_layers]
        assert sum(patch.weights) == pytest.approx(1)
        torch.testing.assert_close(patch.direction, direction)
        batch = batch_of(llama)
        several = [
            Patch.add(direction, layer=layer, coefficient=4.0 * weight)
            for layer, weight in zip(patch.layers, patch.weights, strict=True)
        ]
        together, apart = stream(llama, batch, patch)[1], stream(llama, batch, *several)[1]
        torch.testing.assert_close(together, apart)
    bell = vectors.patch("add", DirectionSpec("cook", layer=1, schedule="bell:1")).weights
    assert bell[1] == max(bell)
    assert bell[0] == pytest.approx(bell[1] * np.exp(-0.5))


def test_weights_of_layers(llama):
    direction = direction_for(llama)
    x = torch.zeros(1, 1, llama.cfg.d_model)
    patch = Patch.add(direction, layer={2: 0.25, 0: 0.5}, coefficient=2.0)
    assert (patch.layers, patch.weights, patch.first_layer) == ((2, 0), (0.25, 0.5), 0)
    torch.testing.assert_close(patch.apply(x, layer=2)[0, 0], 0.5 * direction)
    torch.testing.assert_close(patch.apply(x, layer=0)[0, 0], 1.0 * direction)
    with pytest.raises(RoleLensError, match="does more at some layers than at others"):
        patch.apply(x)
    with pytest.raises(RoleLensError, match=r"acts at layers \(2, 0\), got layer 1"):
        patch.apply(x, layer=1)
    refused = {
        "the weight of a layer must not be 0": lambda: Patch.add(direction, layer={1: 0.0}),
        "the weight of a layer must be a number, got nan": lambda: Patch.add(
            direction, layer={1: float("nan")}
        ),
        "needs at least one layer": lambda: Patch.add(direction, layer={}),
        "can't be shared out over layers": lambda: Patch.of(
            "clamp", direction, layer={1: 0.5, 2: 0.5}, value=1.0
        ),
    }
    for message, make in refused.items():
        with pytest.raises(RoleLensError, match=message):
            make()
    assert Patch.of("clamp", direction, layer={1: 1.0, 2: 1.0}, value=1.0).layers == (1, 2)


@pytest.mark.parametrize("schedule", ["two", "range", "range:0", "bell:-1", "bell:1.5", ""])
def test_bad_schedules(vectors, schedule):
    for make in (
        lambda: DirectionSpec("cook", layer=1, schedule=schedule),
        lambda: Grid(schedules=(schedule,)),
    ):
        with pytest.raises(RoleLensError, match="a schedule must be one"):
            make()


def test_a_schedule_is_for_what_has_a_strength(vectors):
    spec = DirectionSpec("cook", layer=1, schedule="range:1")
    for kind in ("clamp", "cap", "floor", "ablate"):
        with pytest.raises(RoleLensError, match=f"kind '{kind}' can't be shared out over layers"):
            vectors.patch(kind, spec)


@pytest.mark.parametrize("kind", ["clamp", "cap"])
def test_a_projection_is_by_default_that_of_the_role_times_the_coefficient(llama, vectors, kind):
    """Mean projection of the role's prompts on the unit direction."""
    spec = DirectionSpec("cook", layer=2, position=-2, contrast="roles", coefficient=-1.5)
    direction = vectors.direction("cook", layer=2, position=-2, contrast="roles")
    prompts = encode_chat(llama, vectors.prompts.roles["cook"])
    stream = activations_at(llama, prompts, [(2, -2)])[0]
    mean = float((stream @ (direction / direction.norm())).mean())
    patch = vectors.patch(kind, spec)
    assert patch.value == pytest.approx(-1.5 * mean, rel=1e-4)
    assert (patch.layers, patch.kind) == ((2,), kind)
    torch.testing.assert_close(patch.direction, direction / direction.norm())
    once = getattr(vectors, kind)("cook", layer=2, position=-2, contrast="roles")
    assert once.value == pytest.approx(mean, rel=1e-4)
    assert vectors.patch(kind, spec, value=0.25).value == 0.25


def test_numbers_that_a_kind_lacks_or_does_not_take(vectors):
    spec = DirectionSpec("poet", layer=1)
    for kind in ("add", "add_normed", "clamp", "cap", "rotate"):
        with pytest.raises(RoleLensError, match=f"kind '{kind}' needs a coefficient"):
            vectors.patch(kind, spec.alone)
    for kind in ("add", "add_normed", "ablate"):
        with pytest.raises(RoleLensError, match=f"kind '{kind}' takes no value, got 2.0"):
            vectors.patch(kind, spec, value=2.0)
    assert vectors.patch("ablate", spec).value == vectors.patch("ablate", spec.alone).value == 0
    assert vectors.patch("clamp", spec.alone, value=2.0).value == 2.0


def test_kinds_differ_in_what_they_do_to_answers(llama, vectors):
    """One table holds them all, and each acts on its own."""
    questions = [Question("q", "Which?", ("ink", "oil", "egg"), 1, "s", "d")]
    spec = DirectionSpec("poet", layer=1, coefficient=-2.0)
    patches = {"none": None, **{kind: vectors.patch(kind, spec) for kind in KINDS}}
    together = evaluate(llama, questions, patches, compute=QUIET).set_index("patch")
    assert together["logprob_correct"].nunique() == len(patches)
    for name, patch in patches.items():
        alone = evaluate(llama, questions, {name: patch}, compute=QUIET)["logprob_correct"].item()
        assert together["logprob_correct"][name] == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("tokens", ["answer[:0]", "answer[2:1]", "prompt[3:3]", "prompt[-1:-3]"])
def test_spans_without_tokens_are_refused(tokens):
    with pytest.raises(RoleLensError, match="has no tokens"):
        Patch.add(torch.ones(4), layer=1, tokens=tokens)
