import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import BASE, QUIET, ROLES, tiny_bridge, unchecked

from role_lens import (
    Asking,
    DirectionSpec,
    Grid,
    Question,
    RoleLensError,
    RoleVectors,
    evaluate,
    read_sweep,
    sweep,
)
from role_lens.experiments.candidates import candidates_of
from role_lens.experiments.condition_scores import score_conditions
from role_lens.experiments.conditions import baseline
from role_lens.experiments.screening import by_estimate
from role_lens.experiments.sweeps import read_changes
from role_lens.patches import KINDS
from role_lens.schedule import layer_weights
from role_lens.scoring import Asker
from role_lens.scoring.attribution import mean_gradient
from role_lens.scoring.replay import Replay

QUESTIONS = [
    Question(f"q{i}", f"Which{' one' * i}?", ("a", "bc", "def")[: 2 + i % 2], i % 2, "s", "d")
    for i in range(5)
]
GRID = Grid(contrasts=("base", "roles"), kinds=("add", "ablate"), coefficients=(1.0, -2.0))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """So that a small grid has many parts: there is no option for how many candidates share one."""
    monkeypatch.setattr(Replay, "chunk_size", lambda self, layer: 3)


def run(llama, vectors, out, grid=GRID, questions=QUESTIONS, **options):
    return sweep(llama, vectors, questions, out, grid, Asking(**options), QUIET)


@pytest.fixture(scope="module")
def undisturbed(llama, vectors, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replay, "chunk_size", lambda self, layer: 3)
        out = tmp_path_factory.mktemp("undisturbed")
        return run(llama, vectors, out), read_sweep(out)


@pytest.mark.long
@pytest.mark.parametrize("scoring", ["letter", "cloze"])
def test_equals_evaluate(llama, vectors, tmp_path, scoring):
    effects = run(llama, vectors, tmp_path, scoring=scoring)
    # 2 contrasts x 2 layers that are not zero x 2 roles x 2 positions x (2 coefficients + ablation)
    assert len(effects) == 1 + 2 * 2 * 2 * 2 * 3
    patches = {"b": None}
    for row in effects.iloc[1:].itertuples():
        where = {"layer": int(row.layer), "position": int(row.position)}
        where["contrast"] = row.contrast
        if row.kind == "add":
            patch = vectors.add(row.role, coefficient=row.coefficient, **where)
        else:
            patch = vectors.ablate(row.role, **where)
        patches[str(row.Index)] = patch
    table = evaluate(llama, QUESTIONS, patches, asking=Asking(scoring), compute=QUIET)
    scores = table.pivot(index="question_id", columns="patch", values="margin")
    for row in effects.itertuples():
        change = scores[str(row.Index) if row.Index else "b"] - scores["b"]
        assert row.effect == pytest.approx(change.mean(), abs=1e-5)
        assert row.sem == pytest.approx(change.std(ddof=1) / np.sqrt(5), abs=1e-5)
    long = read_sweep(tmp_path)
    assert len(long) == len(effects) * 5
    assert long["kind"].iloc[:5].eq("none").all()
    candidates, changes = read_changes(tmp_path)
    both = effects.iloc[1:].merge(candidates.assign(change=changes.mean(axis=1)))
    assert len(both) == len(candidates) == len(effects) - 1
    assert both["change"].to_numpy() == pytest.approx(both["effect"].to_numpy(), abs=1e-6)
    candidates, changes = read_changes(tmp_path, "correct")
    both = effects.iloc[1:].merge(candidates.assign(change=changes.mean(axis=1)))
    assert both["change"].to_numpy() == pytest.approx(both["accuracy_change"].to_numpy())
    some = effects.iloc[[7, 2, len(effects) - 1]]
    found, changes = read_changes(tmp_path, candidates=some)
    assert changes.mean(axis=1) == pytest.approx(some["effect"].to_numpy(), abs=1e-6)
    assert found["layer"].tolist() == some["layer"].tolist()
    with pytest.raises(RoleLensError, match="3 of these candidates aren't in"):
        read_changes(tmp_path, candidates=some.assign(role="nobody"))
    first = long.iloc[:5].set_index("question_id")["margin"]
    np.testing.assert_allclose(first, scores["b"], atol=1e-5)


def test_finished_cells_are_not_computed_again(llama, vectors, tmp_path, undisturbed, monkeypatch):
    smaller = replace(GRID, contrasts=("roles",), coefficients=(1.0,))
    run(llama, vectors, tmp_path, smaller)
    computed = []
    logprobs = Replay.logprobs
    monkeypatch.setattr(
        Replay, "logprobs", lambda self, c: computed.append(len(c)) or logprobs(self, c)
    )
    effects = run(llama, vectors, tmp_path)
    assert sum(computed) == len(undisturbed[0]) - (1 + 2 * 2 * 2 * 2)
    pd.testing.assert_frame_equal(effects, undisturbed[0], check_exact=False, atol=1e-5)
    computed.clear()
    again = run(llama, vectors, tmp_path)
    assert computed == []
    pd.testing.assert_frame_equal(again, effects)


@pytest.mark.long
def test_interrupted_at_every_write(llama, vectors, tmp_path, undisturbed, monkeypatch):
    """As a SIGKILL would: what was being written is left behind half."""
    write = pd.DataFrame.to_parquet

    def interrupted(self, path, **options):
        if next(countdown) == 0:
            Path(path).write_bytes(b"PAR1 half")
            raise KeyboardInterrupt
        write(self, path, **options)

    monkeypatch.setattr(pd.DataFrame, "to_parquet", interrupted)
    n = 0
    while True:
        countdown = iter([1] * (n % 3) + [0] + [1] * 99)
        try:
            effects = run(llama, vectors, tmp_path)
        except KeyboardInterrupt:
            n += 1
            if n > 60:
                monkeypatch.setattr(pd.DataFrame, "to_parquet", write)
            continue
        break
    pd.testing.assert_frame_equal(effects, undisturbed[0])
    pd.testing.assert_frame_equal(read_sweep(tmp_path), undisturbed[1])
    keys = [key for part in (tmp_path / "parts").glob("*") for key in pd.read_parquet(part)["cell"]]
    assert len(keys) == len(effects) * len(QUESTIONS)


@pytest.mark.long
def test_killed_and_started_again(tmp_path, llama, vectors, undisturbed):
    vectors.save(tmp_path / "v.safetensors")
    script = f"""
import sys, time
sys.path[:0] = {[path for path in sys.path if path]!r}
import test_sweep as t
from role_lens.scoring.replay import Replay
Replay.chunk_size = lambda self, layer: 3
logprobs = Replay.logprobs
def slow(self, candidates):
    time.sleep(0.2)
    return logprobs(self, candidates)
Replay.logprobs = slow
vectors = t.RoleVectors.load({str(tmp_path / "v.safetensors")!r})
t.run(t.tiny_bridge("llama"), vectors, {str(tmp_path / "out")!r})
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    parts = tmp_path / "out" / "parts"
    while process.poll() is None and len(list(parts.glob("*.parquet"))) < 4:
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = len(list(parts.glob("*.parquet")))
    effects = run(llama, vectors, tmp_path / "out")
    assert 4 <= finished < len(list(parts.glob("*.parquet")))
    pd.testing.assert_frame_equal(effects, undisturbed[0])
    pd.testing.assert_frame_equal(read_sweep(tmp_path / "out"), undisturbed[1])


def test_damaged_parts_are_set_aside_and_computed_again(llama, vectors, tmp_path, undisturbed):
    run(llama, vectors, tmp_path)
    parts = sorted((tmp_path / "parts").glob("*.parquet"))
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[: len(content) // 2])
    parts[3].write_bytes(b"")
    short = pd.read_parquet(parts[5])
    short.iloc[:-1].to_parquet(parts[5])
    with pytest.warns(UserWarning, match="can't be read") as warned:
        effects = run(llama, vectors, tmp_path)
    assert len(warned) == 3
    pd.testing.assert_frame_equal(effects, undisturbed[0])
    pd.testing.assert_frame_equal(read_sweep(tmp_path), undisturbed[1])
    assert len(list((tmp_path / "parts").glob("*.damaged"))) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"questions": QUESTIONS[:4]}, r"n_questions \(5 there, 4 here\), questions \("),
        ({"scoring": "cloze"}, r"scoring \('letter' there, 'cloze' here\)"),
        ({"template": "mmlu"}, "template"),
        ({"system": "Be brief."}, "system"),
        ({"examples": (replace(QUESTIONS[0], question="Another?"),)}, "examples"),
    ],
)
def test_results_of_something_else_are_refused(llama, vectors, tmp_path, changes, message):
    grid = replace(GRID, layers=(2,), kinds=("add",))
    run(llama, vectors, tmp_path, grid)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RoleLensError, match=f"another run, which differs in {message}"):
        run(llama, vectors, tmp_path, grid, **changes)
    assert sorted(tmp_path.rglob("*")) == before


def test_results_of_another_model_are_refused(llama, vectors, tmp_path):
    grid = replace(GRID, layers=(2,), kinds=("add",))
    run(llama, vectors, tmp_path, grid)
    other = tiny_bridge("qwen2")
    others = RoleVectors.fit(other, ROLES, BASE, positions=[-2, -1], compute=QUIET)
    with pytest.raises(RoleLensError, match=r"model \('tiny-llama' there, 'tiny-qwen2' here\)"):
        run(other, others, tmp_path, grid)
    with pytest.raises(RoleLensError, match="other weights"):
        run(tiny_bridge("llama", seed=3), vectors, tmp_path, grid)


@pytest.mark.long
def test_slightly_other_weights_and_hooked_models_are_refused(llama, vectors, tmp_path):
    grid = replace(GRID, layers=(2,), kinds=("add",))
    run(llama, vectors, tmp_path, grid)
    other = tiny_bridge("llama")
    with torch.no_grad():
        next(p for p in other.parameters() if p.ndim > 1).mul_(1.01)
    with pytest.raises(RoleLensError, match="differs in weights"):
        run(other, vectors, tmp_path, grid)
    with (
        vectors.add("poet", layer=1).on(llama),
        pytest.raises(RoleLensError, match="carries hooks"),
    ):
        run(llama, vectors, tmp_path, grid)


@pytest.mark.long
def test_every_weight_counts(llama, vectors, tmp_path):
    """Also those of columns that no evenly spaced sample of a wide matrix would meet."""
    model = tiny_bridge("llama", intermediate_size=4096)
    own = RoleVectors.fit(model, ROLES, BASE, positions=[-2, -1], compute=QUIET)
    grid = replace(GRID, layers=(2,), kinds=("add",))
    run(model, own, tmp_path, grid)
    wide = next(p for p in model.parameters() if 4096 in p.shape and p.ndim == 2)
    with torch.no_grad():
        wide.view(-1)[1] += 1e-3
    with pytest.raises(RoleLensError, match="differs in weights"):
        run(model, own, tmp_path, grid)


def test_another_chat_template_is_another_run(vectors, tmp_path):
    model = tiny_bridge("llama")
    grid = replace(GRID, layers=(2,), kinds=("add",))
    run(model, vectors, tmp_path, grid)
    model.tokenizer.chat_template = model.tokenizer.chat_template.replace("<|end|>", "!<|end|>")
    with pytest.raises(RoleLensError, match=r"differs in tokens \('\w+… there, '\w+… here\)"):
        run(model, vectors, tmp_path, grid)


def test_folders_without_a_sweep_or_its_baseline(llama, vectors, tmp_path):
    asked = Asker(llama, compute=QUIET).ask(QUESTIONS)
    score_conditions(asked, [baseline()], tmp_path / "other", domain="d", in_domain=True)
    with pytest.raises(RoleLensError, match="another kind of run"):
        read_sweep(tmp_path / "other")
    grid = Grid(roles=("poet",), layers=(2,), positions=(-1,))
    run(llama, vectors, tmp_path / "own", grid)
    for part in (tmp_path / "own" / "parts").iterdir():
        if (pd.read_parquet(part)["kind"] == "none").any():
            part.unlink()
    with pytest.raises(RoleLensError, match="holds no baseline: run the sweep again"):
        read_changes(tmp_path / "own")


def test_the_type_of_a_number_makes_no_other_cell(llama, vectors, tmp_path):
    grid = Grid(roles=("poet",), layers=(2,), positions=(-1,), coefficients=(1.0,))
    run(llama, vectors, tmp_path, grid)
    same = unchecked(grid, layers=tuple(np.arange(2, 3)), coefficients=(1,))
    json.dumps(asdict(same))  # in a comparison's record
    run(llama, vectors, tmp_path, same)
    assert len(read_sweep(tmp_path)) == 2 * len(QUESTIONS)
    assert len(list((tmp_path / "parts").glob("*"))) == 2


def test_layers_are_whole_numbers():
    with pytest.raises(RoleLensError, match=r"a layer must be a whole number, got 1\.5"):
        unchecked(Grid(), layers=(1.5,))


def test_reading_changes_nothing(llama, vectors, tmp_path, monkeypatch):
    with pytest.raises(RoleLensError, match="holds no results"):
        read_sweep(tmp_path)
    run(llama, vectors, tmp_path, replace(GRID, layers=(2,), kinds=("add",)))
    parts = sorted((tmp_path / "parts").glob("*"))
    parts[0].write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="can't be read"):
        read_sweep(tmp_path)
    pd.DataFrame({"cell": ["x"] * 5}).to_parquet(parts[0])
    with pytest.warns(UserWarning, match="it has no columns"):
        read_sweep(tmp_path)
    assert sorted((tmp_path / "parts").glob("*")) == parts

    def too_many(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(pd, "read_parquet", too_many)
    with pytest.raises(RoleLensError, match="Too many open files"):
        read_sweep(tmp_path)
    monkeypatch.undo()
    for part in parts:
        part.unlink()
    with pytest.raises(RoleLensError, match="no finished candidates yet"):
        read_sweep(tmp_path)


def test_a_full_disk_leaves_the_finished_cells(llama, vectors, tmp_path, undisturbed, monkeypatch):
    write, left = pd.DataFrame.to_parquet, [4]

    def full(self, path, **options):
        left[0] -= 1
        if left[0] < 0:
            Path(path).write_bytes(b"PAR1")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, path, **options)

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(RoleLensError, match="No space left on device"):
        run(llama, vectors, tmp_path)
    monkeypatch.undo()
    assert len(read_sweep(tmp_path)) > 0
    assert not list((tmp_path / "parts").glob("*partial*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": Grid(roles=("poett",))}, "unknown role 'poett': did you mean 'poet'"),
        ({"grid": Grid(layers=(7,))}, "layer 7 is out of range"),
        ({"grid": Grid(positions=(-9,))}, "position -9 is out of range"),
        ({"grid": Grid(positions=())}, "the grid has no candidates: it is empty, or all its"),
        ({"grid": Grid(layers=(0,))}, "directions are zero, as at layer 0 of most models; got G"),
        ({"questions": []}, "at least one question"),
    ],
)
def test_bad_input(llama, vectors, tmp_path, options, message):
    with pytest.raises(RoleLensError, match=message):
        run(llama, vectors, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"roles": "poet"}, "roles must be a tuple of strings, got 'poet'"),
        (
            {"kinds": ("turn",)},
            "unknown kind of patch 'turn': expected one of ablate, add, add_normed, cap, cl",
        ),
        ({"screen": 0}, "screen=0"),
        ({"screen": 2, "kinds": ("ablate",)}, "additions only"),
        ({"coefficients": (float("nan"),)}, "a coefficient must be a number, got nan"),
    ],
)
def test_a_grid_that_can_not_be(fields, message):
    with pytest.raises(RoleLensError, match=message):
        unchecked(Grid(), **fields)


def test_every_kind_of_patch_can_be_swept(llama, vectors, tmp_path):
    """Each from its own first layer on: as `evaluate` scores the same patch."""
    grid = Grid(("poet",), (1, 2), (-1,), kinds=KINDS.names, coefficients=(1.0, 0.5))
    effects = run(llama, vectors, tmp_path, grid)
    assert effects["kind"].value_counts().to_dict() == {
        **dict.fromkeys(("add", "add_normed", "cap", "clamp", "floor", "rotate"), 4),
        **{"ablate": 2, "none": 1},
    }
    patches = {"b": None}
    for row in effects.iloc[1:].itertuples():
        coefficient = None if row.kind == "ablate" else row.coefficient
        spec = DirectionSpec("poet", int(row.layer), -1, "base", coefficient)
        patches[str(row.Index)] = vectors.patch(row.kind, spec)
    table = evaluate(llama, QUESTIONS, patches, compute=QUIET)
    means = table.groupby("patch")["margin"].mean()
    for row in effects.iloc[1:].itertuples():
        assert row.effect == pytest.approx(means[str(row.Index)] - means["b"], abs=1e-5)


def test_schedules_are_swept_and_estimated(llama, vectors, tmp_path):
    """Each as `evaluate` scores the same patch; screening adds up what its layers would do."""
    schedules = ("one", "range:1", "bell:1")
    grid = Grid(("poet",), (1, 2), (-1,), kinds=("add", "rotate", "clamp"), schedules=schedules)
    effects = run(llama, vectors, tmp_path / "all", grid)
    assert effects.groupby("kind").size().to_dict() == {
        "add": 6,
        "clamp": 2,
        "none": 1,
        "rotate": 6,
    }
    patches = {"b": None}
    for row in effects.iloc[1:].itertuples():
        spec = DirectionSpec("poet", int(row.layer), -1, "base", row.coefficient, row.schedule)
        patches[str(row.Index)] = vectors.patch(row.kind, spec)
    table = evaluate(llama, QUESTIONS, patches, compute=QUIET)
    means = table.groupby("patch")["margin"].mean()
    for row in effects.iloc[1:].itertuples():
        assert row.effect == pytest.approx(means[str(row.Index)] - means["b"], abs=1e-5)
    asked = Asker(llama, compute=QUIET).ask(QUESTIONS)
    tried = candidates_of(vectors, replace(grid, kinds=("add",)))
    gradient = mean_gradient(asked)
    direction = {layer: vectors.direction("poet", layer=layer) for layer in (1, 2)}

    def estimate(spec):
        weights = layer_weights(spec.schedule, spec.layer, llama.cfg.n_layers)
        along = {at: float(gradient[at] @ direction[spec.layer]) for at in weights}
        return sum(weight * along[at] for at, weight in weights.items())

    ranked = [one.spec for one in by_estimate(vectors, tried, gradient)["poet"]]
    assert len(ranked) == 6
    assert ranked == sorted(ranked, key=estimate, reverse=True)


@pytest.mark.parametrize("layers", [(1, 2), (2, 1), (3, 1, 2)])
def test_spread_candidates_of_several_layers_share_no_batch(tmp_path, layers):
    """All begin at layer 0, but their weights are of other layers."""
    model = tiny_bridge("llama", num_hidden_layers=6)
    vectors = RoleVectors.fit(model, ROLES, BASE, compute=QUIET)
    grid = Grid(("poet",), layers, (-1,), coefficients=(20.0,), schedules=("range:3",))
    effects = run(model, vectors, tmp_path, grid).iloc[1:]
    assert len(effects) == len(layers)
    patches = {"b": None}
    for layer in layers:
        spec = DirectionSpec("poet", layer, coefficient=20.0, schedule="range:3")
        patches[str(layer)] = vectors.patch("add", spec)
    table = evaluate(model, QUESTIONS, patches, compute=QUIET)
    means = table.groupby("patch")["margin"].mean()
    for row in effects.itertuples():
        assert row.effect == pytest.approx(means[str(row.layer)] - means["b"], abs=1e-4)


def test_results_of_another_version_are_refused(llama, vectors, tmp_path):
    grid = replace(GRID, layers=(2,), kinds=("add",))
    run(llama, vectors, tmp_path, grid)
    file = tmp_path / "identity.json"
    identity = json.loads(file.read_text())
    file.write_text(json.dumps(identity | {"version of torch": "1.0"}))
    with pytest.raises(RoleLensError, match=r"differs in version of torch \('1.0' there, '2"):
        run(llama, vectors, tmp_path, grid)


def test_a_folder_that_can_not_be_used(llama, vectors, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RoleLensError, match="can't write to the output folder"):
        run(llama, vectors, tmp_path / "file")
    with pytest.raises(RoleLensError, match="holds no results"):
        read_sweep(tmp_path)
    (tmp_path / "identity.json").write_text("{")
    with pytest.raises(RoleLensError, match=r"identity\.json is damaged"):
        read_sweep(tmp_path)


def test_screening_keeps_the_best_estimates_of_each_role(llama, vectors, tmp_path):
    from role_lens import attribute

    grid = Grid(coefficients=(1.0, 2.0))
    effects = run(llama, vectors, tmp_path, replace(grid, screen=3)).iloc[1:]
    estimates = attribute(llama, vectors, QUESTIONS, contrasts=["base"], compute=QUIET)
    estimates = estimates[estimates["layer"] > 0]
    # The best coefficient is 2 where the effect is positive, else 1.
    estimates = estimates.assign(best=estimates["effect"] * (1 + (estimates["effect"] > 0)))
    names = ["role", "position", "layer"]
    for role, part in effects.groupby("role"):
        assert len(part) == 6  # both coefficients of three directions
        best = estimates[estimates["role"] == role].nlargest(3, "best")
        assert set(part[names].itertuples(index=False, name=None)) == set(
            best[names].itertuples(index=False, name=None)
        )
    # Another screening of the same questions takes the gradient that is kept: here a false one.
    kept = np.load(tmp_path / "gradient.npy")
    np.save(tmp_path / "gradient.npy", -kept)
    worst = run(llama, vectors, tmp_path, replace(Grid(), screen=2)).iloc[1:]
    for role, part in worst.groupby("role"):
        least = estimates[estimates["role"] == role].nsmallest(2, "effect")
        assert set(part[names].itertuples(index=False, name=None)) == set(
            least[names].itertuples(index=False, name=None)
        )


def test_what_a_killed_run_left_behind(llama, vectors, tmp_path):
    """An old half-written part is removed, another run's is left to it, and estimates that can't
    be used are made again."""
    grid = replace(GRID, kinds=("add",), screen=1)
    effects = run(llama, vectors, tmp_path, grid)
    old, new = (tmp_path / "parts" / f".part-{n}.parquet.7.partial" for n in range(2))
    for part, age in ((old, 7200), (new, 0)):
        part.write_bytes(b"PAR1")
        os.utime(part, (time.time() - age,) * 2)
    kept = tmp_path / "gradient.npy"
    for damage in (b"\x93NUMPY", b""):
        kept.write_bytes(damage)
        pd.testing.assert_frame_equal(run(llama, vectors, tmp_path, grid), effects)
    np.save(kept, np.zeros(3))
    pd.testing.assert_frame_equal(run(llama, vectors, tmp_path, grid), effects)
    assert list((tmp_path / "parts").glob(".*")) == [new]
