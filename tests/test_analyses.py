"""Every analysis from its command line: on a tiny model with all options at work, and in its quick
form on the packaged model."""

import importlib.util
import json
import re
import shutil
import sys
import threading
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import CHAT_TEMPLATE, QUIET, tiny_hf, tiny_tokenizer

from role_lens import (
    Asking,
    RoleVectors,
    evaluate,
    load_model,
    load_prompts,
    load_questions,
    load_roles,
    spread,
)
from role_lens.experiments import rotated
from role_lens.models import PACKAGED_MODEL, slow_in_two_bytes
from role_lens.reading import layer_logprobs, persona_shift, shift_along_directions
from role_lens.reporting import ModelOptions, main
from role_lens.scoring import kl_divergence

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[1] / "analyses"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
DOMAINS = ["poet", "verse", "cook", "food", "ship cook", "food"]
QUESTIONS = ["--questions", "{0}/questions", "--role-domains", *DOMAINS]
LITTLE = ["--max-questions", "8"]
OPTIONS = {
    "finders": [
        *(*QUESTIONS, "--finders", "means", "whitened", "--layer-step", "1"),
        *("--max-new-tokens", "3", "--max-kl", "None", "--judge-all"),
    ],
    "geometry": ["--numbers", "2", "--repeats", "3", "--layer-step", "1"],
    "layer_sweep": [*QUESTIONS, *LITTLE, "--n-random", "2", "--random-step", "1"],
    "logit_lens": ["--n-prompts", "2", "--top-k", "3", "--shown", "poet"],
    "benchmark_transfer": [
        *(*QUESTIONS, "--benchmarks", "{0}/more.jsonl"),
        *("--n-shuffled", "2", "--max-kl", "None", "--judge-all"),
    ],
    "patchscope": [
        *(*QUESTIONS, *LITTLE, "--layer-step", "1", "--max-new-tokens", "3"),
        *("--inject", "-1", "1"),
    ],
    "persona_prompts": [*QUESTIONS, "--n-prompts", "3", "--max-kl", "None"],
    "reproduce_paper": [*QUESTIONS, "--coefficients", "1", "2", "--max-off-domain", "20"],
}
OTHER_SETTINGS = {
    ("--seed", 1): "seed (0 there, 1 here)",
    ("--quick",): "quick (False there, True here)",
    ("--dtype", "bfloat16"): "dtype ('float32' there, 'bfloat16' here)",
    ("--base", "builtin"): "base (",
}
NO_POSITION = {"benchmark_transfer", "finders", "reproduce_paper"}
TABLES = {
    "finders": {"verdict", "pooled", "telling", "texts", "costs"},
    "geometry": {
        *("by_layer", "cosines", "components", "separable", "stable", "resampled", "pulls"),
    },
    "layer_sweep": {"estimated", "exact", "random"},
    "logit_lens": {"words", "named", "moved", "predicted", "views"},
    "benchmark_transfer": {"table", "effects", "choices", "positive"},
    "patchscope": {"texts", "names", "persona", "effects", "rates", "improving"},
    "persona_prompts": {"effects", "choices", "shifts"},
    "reproduce_paper": {"best", "effects"},
}


def analysis(name):
    spec = importlib.util.spec_from_file_location(f"analysis_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where tyro looks for its annotations
    spec.loader.exec_module(module)
    return module


def start(name, *arguments, draw=True):
    module = analysis(name)
    drawing = module.draw if draw else lambda results, folder: None
    return main(module.Config, module.run, drawing, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A tiny model folder, role and base prompts, and questions of three domains."""
    folder = tmp_path_factory.mktemp("analyses")
    tiny_hf("llama").save_pretrained(folder / "model")
    # A token is a byte: few of them after the instruction, so that there are few positions.
    template = CHAT_TEMPLATE.replace("assistant", "a")
    tiny_tokenizer(template=template).save_pretrained(folder / "model")
    (folder / "roles").mkdir()
    words = {"poet": "rhyme", "cook": "salt", "ship_cook": "rum"}
    for role, word in words.items():
        lines = [f"How much {word}, {number}?" for number in range(8)]
        (folder / "roles" / f"{role}.txt").write_text("\n".join(lines))
    (folder / "base.txt").write_text("\n".join(f"Is it {number}?" for number in range(16)))
    (folder / "questions").mkdir()
    for domain, word in (("verse", "line"), ("food", "dish"), ("other", "thing")):
        path = folder / "questions" / f"{domain}.jsonl"
        path.write_text("\n".join(json.dumps(row(f"Which {word} {i}?", i)) for i in range(42)))
    path = folder / "more.jsonl"
    path.write_text("\n".join(json.dumps(row(f"What {i}?", i)) for i in range(20)))
    return folder


def row(question, number):
    return {"question": question, "choices": ["a", "bc", "def"], "answer": number % 3}


def model_options(folder):
    return [
        *("--model", folder / "model", "--prompts", folder / "roles"),
        *("--base", folder / "base.txt"),
    ]


def tried(name, workplace, out, *more, draw=True):
    """With the options of the table above, and some more."""
    usual = [option.format(workplace) for option in OPTIONS[name]]
    return start(name, "--out", out, *model_options(workplace), *usual, *more, draw=draw)


def computed(name, workplace, out, *more):
    """As `tried`, without figures and report, which take half of the time."""
    return tried(name, workplace, out, *more, draw=False)


def table(folder, name):
    return pd.read_parquet(folder / f"{name}.parquet")


def written(folder, pattern):
    """When each file was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob(pattern)}


def last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def test_every_analysis_is_tried():
    assert sorted(OPTIONS) == sorted(TABLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_tables_figures_report_and_drawing_again(name, workplace, tmp_path, capsys):
    out = tmp_path / "out"
    assert tried(name, workplace, out) == 0
    assert f"Written to {out}" in capsys.readouterr().out
    record = json.loads((out / "results.json").read_text())
    assert set(record["tables"]) >= TABLES[name]
    assert record["settings"]["setup"]["seed"] == 0
    assert record["versions"]["torch"]
    for one in record["tables"]:
        assert len(table(out, one))
    report = (out / "report.html").read_text()
    figures = sorted(out.glob("*.png"))
    assert len(figures) == report.count("data:image/png") > 0
    # Nothing is fetched: all sources are data, and the only addresses are in the script's text.
    page = re.sub(r"<script>.*?</script>", "", report, flags=re.DOTALL)
    assert not re.search(r"(src|href)=(?![\"']data:)", page)
    drawn = {path.name: path.read_bytes() for path in figures}
    for path in figures:
        path.unlink()
    # There is no such model: to draw takes none.
    assert start(name, "--out", out, "--redraw", "--model", tmp_path / "none") == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.png")} == drawn
    before = written(out, "*")
    for more, differs in OTHER_SETTINGS.items():
        assert tried(name, workplace, out, *more) == 2
        assert f"holds the results of another run, which differs in {differs}" in last_line(capsys)
    assert written(out, "*") == before


def test_a_seed_below_zero_is_one_line(workplace, tmp_path, capsys):
    assert tried("geometry", workplace, tmp_path, "--seed", -1) == 2
    assert "seed must be at least 0, got -1" in last_line(capsys)


def test_results_that_were_not_written_whole_are_none(workplace, tmp_path, capsys):
    """New tables beside an old record would be taken for its."""
    assert computed("geometry", workplace, tmp_path) == 0
    path = tmp_path / "components.parquet"
    kept = path.read_bytes()
    path.unlink()
    path.mkdir()  # so that the table can't be written
    assert computed("geometry", workplace, tmp_path) == 2
    assert "can't write" in last_line(capsys)
    path.rmdir()
    path.write_bytes(kept)
    assert start("geometry", "--out", tmp_path, "--redraw") == 2
    assert "holds no results to draw" in last_line(capsys)


def test_a_role_without_a_domain_is_one_line(workplace, tmp_path, capsys):
    arguments = ["--questions", workplace / "questions", *model_options(workplace)]
    assert start("layer_sweep", "--out", tmp_path, *arguments) == 2
    assert last_line(capsys).startswith("role-lens: role 'cook' has no domain")


def test_drawing_nothing_is_one_line(tmp_path, capsys):
    assert start("geometry", "--out", tmp_path, "--redraw") == 2
    assert "holds no results to draw" in capsys.readouterr().err


def test_damaged_results(workplace, tmp_path, capsys):
    """Drawing them again says what to do; a new run makes them anew."""
    assert computed("geometry", workplace, tmp_path) == 0
    (tmp_path / "cosines.parquet").unlink()
    assert computed("geometry", workplace, tmp_path, "--redraw") == 2
    assert "run the analysis again" in capsys.readouterr().err
    assert computed("geometry", workplace, tmp_path) == 0
    (tmp_path / "results.json").write_text("[]")
    assert computed("geometry", workplace, tmp_path) == 2
    assert "results.json is damaged: delete it" in capsys.readouterr().err


def with_its_vectors(folder, other):
    """Another folder, with the vectors that were kept in the first."""
    other.mkdir()
    shutil.copy(folder / "vectors.safetensors", other)
    return other


def test_the_same_analysis_is_repeated_quietly(workplace, tmp_path, monkeypatch, capsys):
    """Also if paths are written in another way, on another device, or beside a folder whose name
    is that of a setting's value."""
    out, base = tmp_path / "out", tmp_path / "base.txt"
    shutil.copy(workplace / "base.txt", base)
    assert computed("geometry", workplace, out, "--base", base) == 0
    found = table(out, "cosines")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "float32").mkdir()
    assert computed("geometry", workplace, "out", "--base", "base.txt", "--device", "cpu") == 0
    pd.testing.assert_frame_equal(table(out, "cosines"), found)
    base.write_text("Is it another?\nIs it not?\nIs it so?")
    assert computed("geometry", workplace, out, "--base", base) == 2
    assert "differs in base ('" in last_line(capsys)


def test_kept_vectors_of_another_precision(workplace, tmp_path, capsys):
    assert computed("geometry", workplace, tmp_path / "one", "--dtype", "bfloat16") == 0
    other = with_its_vectors(tmp_path / "one", tmp_path / "other")
    assert computed("geometry", workplace, other) == 2
    named = "another dtype ('torch.bfloat16' there, 'torch.float32' here): choose another folder"
    assert named in last_line(capsys)


def test_kept_vectors_of_other_template_arguments(workplace, tmp_path, capsys):
    template = workplace / "model" / "chat_template.jinja"
    shutil.copytree(workplace / "model", tmp_path / "model")
    text = template.read_text() + "{% if tone is defined %}{{ tone }}{% endif %}"
    (tmp_path / "model" / "chat_template.jinja").write_text(text)
    model = ("--model", tmp_path / "model")
    kwargs = ("--chat-template-kwargs", "tone", '"dry"')
    assert computed("geometry", workplace, tmp_path / "one", *model, *kwargs) == 0
    other = with_its_vectors(tmp_path / "one", tmp_path / "other")
    assert computed("geometry", workplace, other, *model) == 2
    named = "another chat_template_kwargs ({'tone': 'dry'} there, None here): choose another"
    assert named in last_line(capsys)


def test_kept_vectors_of_a_model_of_another_name(workplace, tmp_path, capsys):
    """Such as another quantisation, which computes nearly the same."""
    assert computed("geometry", workplace, tmp_path / "one") == 0
    shutil.copytree(workplace / "model", tmp_path / "tuned")
    other = with_its_vectors(tmp_path / "one", tmp_path / "other")
    assert computed("geometry", workplace, other, "--model", tmp_path / "tuned") == 2
    named = "another model ('model' there, 'tuned' here): choose another"
    assert named in last_line(capsys)


def test_a_role_without_a_domain_may_be_among_the_vectors(workplace, tmp_path):
    """Where it isn't asked for: of the others all whose domain has questions are estimated."""
    roles = tmp_path / "roles"
    roles.mkdir()
    for name in ("poet", "cook", "beekeeper"):
        (roles / f"{name}.txt").write_text(f"How old is a {name}?\nHow tall?\nWhen?\n")
    options = ["--prompts", roles, "--role-domains", "poet", "verse", "cook", "food"]
    options += ["--roles", "poet", "--n-random", "1", "--random-step", "2"]
    out = tmp_path / "out"
    assert computed("layer_sweep", workplace, out, *options) == 0
    asked = {name: set(table(out, name)["role"]) for name in TABLES["layer_sweep"]}
    assert asked == {"estimated": {"poet", "cook"}, "exact": {"poet"}, "random": {"poet"}}


def test_estimates_are_kept_and_go_with_the_coefficient(workplace, tmp_path):
    tables, one, other = [], tmp_path / "one", tmp_path / "other"
    for out, coefficient in ((one, 1), (other, -2)):
        if one.exists():
            shutil.copytree(one / "sweeps", other / "sweeps")
            kept = written(other, "estimates.parquet")
        options = ["--roles", "poet", "--coefficient", coefficient]
        assert computed("layer_sweep", workplace, out, *options) == 0
        tables.append(table(out, "estimated"))
    assert len(kept) == 2  # domains
    assert kept == written(other, "estimates.parquet")
    once, back = tables
    pd.testing.assert_series_equal(back["effect"], -2 * once["effect"])
    pd.testing.assert_series_equal(back["sem"], 2 * once["sem"])


@pytest.mark.parametrize(
    ("more", "differs"),
    [
        (["--max-questions", 9], "max_questions (8 there, 9 here)"),
        (["--seed", 1], "seed (0 there,"),
    ],
)
def test_another_run_is_refused_before_the_estimates(more, differs, workplace, tmp_path, capsys):
    usual = ["--domain", "verse", "--max-questions", "42" if "--seed" in more else "8"]
    assert computed("layer_sweep", workplace, tmp_path, *usual) == 0
    (estimates,) = tmp_path.rglob("estimates.parquet")
    estimates.unlink()
    assert computed("layer_sweep", workplace, tmp_path, *usual, *more) == 2
    assert differs in last_line(capsys)
    assert not estimates.exists()


def test_roles_of_domains_that_nobody_asks(workplace, tmp_path, capsys):
    assert tried("layer_sweep", workplace, tmp_path, "--domain", "other") == 2
    last = last_line(capsys)
    assert "no role has its domain among other: name one" in last
    assert "--role-domains 'cook' 'other'" in last


def test_one_role(workplace, tmp_path):
    """There is no tree of it, and nothing to hold it against but the base prompts."""
    roles, out = tmp_path / "roles", tmp_path / "out"
    roles.mkdir()
    (roles / "poet.txt").write_text((workplace / "roles" / "poet.txt").read_text())
    assert tried("geometry", workplace, out, "--prompts", roles) == 0
    assert not (out / "families.png").exists()
    assert set(table(out, "separable")["contrast"]) == {"base"}


def test_quick_pages_say_so(workplace, tmp_path):
    quick, whole = tmp_path / "quick", tmp_path / "whole"
    assert tried("geometry", workplace, quick, "--quick") == 0
    assert "A quick version" in (quick / "report.html").read_text()
    assert not (quick / "vectors.safetensors").exists()  # it is fitted on fewer prompts
    assert tried("geometry", workplace, whole) == 0
    assert "A quick version" not in (whole / "report.html").read_text()


def test_kept_vectors_of_other_prompts_are_refused(workplace, tmp_path, capsys):
    roles, out = tmp_path / "roles", tmp_path / "out"
    shutil.copytree(workplace / "roles", roles)
    assert computed("logit_lens", workplace, out, "--prompts", roles) == 0
    for path in roles.iterdir():
        path.write_text("Other?\nPrompts?\n")
    assert computed("logit_lens", workplace, out, "--prompts", roles) == 2
    said = r"vectors.safetensors: .*other prompts.*another folder"
    assert re.search(said, last_line(capsys))


def test_another_analysis_does_not_overwrite(workplace, tmp_path, capsys):
    assert computed("logit_lens", workplace, tmp_path) == 0
    for more in ([], ["--redraw"]):
        assert computed("geometry", workplace, tmp_path, *more) == 2
        assert "holds the results of logit_lens: choose another" in capsys.readouterr().err


def test_own_vectors_need_their_prompts(workplace, tmp_path, capsys):
    assert computed("logit_lens", workplace, tmp_path / "a") == 0
    vectors = tmp_path / "a" / "vectors.safetensors"
    arguments = ["--out", tmp_path / "b", "--model", workplace / "model", "--vectors", vectors]
    assert start("logit_lens", *arguments) == 2
    assert "name theirs with --prompts and --base" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted({*NAMES} - NO_POSITION))
def test_positions_are_checked_at_once(name, workplace, tmp_path, capsys):
    assert tried(name, workplace, tmp_path, "--position", -40) == 2
    assert "position -40 is out of range" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.safetensors"]


@pytest.mark.filterwarnings("ignore:2 of 3 roles are left out")
@pytest.mark.parametrize(
    ("name", "of_roles"),
    [
        ("layer_sweep", "estimated"),
        ("patchscope", "texts"),
        ("benchmark_transfer", "choices"),
        ("finders", "telling"),
        ("persona_prompts", "choices"),
        ("reproduce_paper", "best"),
    ],
)
def test_one_domain_is_enough(name, of_roles, workplace, tmp_path):
    """Of roles whose domain is not asked, nothing is."""
    assert tried(name, workplace, tmp_path, "--domain", "verse") == 0
    assert set(table(tmp_path, of_roles)["role"]) == {"poet"}


def test_random_ablations_are_one_band_a_domain(workplace, tmp_path):
    """They have neither a role nor a layer; additions have both."""
    roles = ["--roles", "poet", "cook", "ship cook"]
    assert computed("layer_sweep", workplace, tmp_path, *roles) == 0
    random = table(tmp_path, "random").groupby(["kind", "domain"])
    vectors = RoleVectors.load(tmp_path / "vectors.safetensors")
    each = 2 * len(vectors.contrasts) * (vectors.n_layers - 1)  # layer 0 holds no direction
    assert random.size().to_dict() == {
        ("ablate", "food"): 2,
        ("ablate", "verse"): 2,
        ("add", "food"): 2 * each,
        ("add", "verse"): each,
    }


def test_texts_of_a_stopped_run_are_kept(workplace, tmp_path):
    assert computed("patchscope", workplace, tmp_path) == 0
    found, texts = table(tmp_path, "texts"), written(tmp_path / "texts", "*.parquet")
    kinds = Counter(path.name.partition("-")[0] for path in texts)
    assert kinds == {"persona": 1, "name": 2, "texts": 12}
    assert len(found) == 12 * 2 * 3
    lost = sorted(texts)[::4]
    for path in lost:
        path.unlink()
    assert computed("patchscope", workplace, tmp_path) == 0
    again = written(tmp_path / "texts", "*.parquet")
    assert set(again) == set(texts)
    assert sorted(path for path in texts if again[path] != texts[path]) == lost
    pd.testing.assert_frame_equal(table(tmp_path, "texts"), found)
    # Those of another position are others.
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "texts", other / "texts")
    assert computed("patchscope", workplace, other, "--position", -2) == 0
    more = {path.name: time for path, time in written(other / "texts", "*.parquet").items()}
    assert len(more) == len(again) + 12
    assert {path.name: time for path, time in again.items()}.items() <= more.items()


def test_the_paper_is_not_tested_on_the_questions_that_chose(workplace, tmp_path):
    """Its best directions are measured on them, with no p and no verdict."""
    assert computed("reproduce_paper", workplace, tmp_path) == 0
    effects, best = table(tmp_path, "effects"), table(tmp_path, "best").set_index("role")
    assert set(effects["in_domain"]) == {True, False}
    assert not [name for name in effects.columns if name.startswith(("p_", "q_", "verdict", "low"))]
    vectors = RoleVectors.load(tmp_path / "vectors.safetensors")
    n = len(vectors.positions) * (vectors.n_layers - 1)  # layer 0 holds no direction
    assert best["tried"].tolist() == [2 * n] * 3

    # What is added and ablated is the best that is reported.
    added = effects[effects["in_domain"] & (effects["kind"] == "add")].set_index("role")
    pd.testing.assert_series_equal(
        added["accuracy_change"], best["apparent"].loc[added.index], check_names=False
    )
    # Both are two-sided: to allow for the others can't make p smaller.
    assert (best["p_adjusted"] >= best["p_alone"] - 0.02).all()


def test_the_paper_without_other_domains(workplace, tmp_path):
    assert computed("reproduce_paper", workplace, tmp_path, "--max-off-domain", 0) == 0
    assert set(table(tmp_path, "effects")["in_domain"]) == {True}


@pytest.fixture(scope="module")
def release(workplace, tmp_path_factory):
    """Poets and cooks by the protocol of the release, where verse counts as mathematics."""
    out = tmp_path_factory.mktemp("release")
    options = ["--protocol", "release", "--max-new-tokens", 4, "--layer-step", 1]
    assert computed("reproduce_paper", workplace, out, *options) == 0
    return out


def test_the_release_tries_layers_from_the_middle_without_the_last_fifth(release):
    n = RoleVectors.load(release / "vectors.safetensors").n_layers
    candidates = table(release, "candidates")
    expected = [layer for layer in range(1, n) if n // 2 <= layer < int(0.8 * n)]
    assert sorted(set(candidates["layer"])) == expected
    tried = candidates.groupby("role").size()
    best = table(release, "best").set_index("role")
    assert best["tried"].to_dict() == tried.to_dict()
    dropped = candidates.groupby("role")["accuracy_change"].apply(lambda some: (some < 0).sum())
    assert best["dropped"].to_dict() == dropped.to_dict()
    top = candidates.groupby("role")["accuracy"].max()
    np.testing.assert_allclose(best["best"].loc[top.index], top)
    assert candidates["ablated"].notna().all()


def test_the_release_has_persona_prompts_in_the_same_table(release):
    effects = table(release, "effects")
    for _, own in effects.groupby(["role", "domain"]):
        assert {"add", "ablate", "persona", "neutral_persona"} <= {*own["kind"]}


def test_what_the_abstract_claims_is_measured(release):
    """The gain on other domains, recomputed from the table of effects."""
    claims = table(release, "claims").set_index(["claim", "measured"])
    best, effects = table(release, "best"), table(release, "effects")
    value = claims["value"]
    assert value["in-domain gain", "on the questions that chose"] == best["apparent"].mean()
    assert value["in-domain gain", "on questions that didn't"] == best["held_out"].mean()
    away = effects[~effects["in_domain"]]
    # By question: domains count by their questions, and within one all roles alike.
    means = away.groupby(["kind", "domain"]).agg(effect=("effect", "mean"), n=("n", "first"))
    weighted = (means["effect"] * means["n"]).groupby("kind").sum()
    n = means.loc["add", "n"].sum()
    elsewhere = "on other domains' questions"
    assert value["cross-domain gain", elsewhere] == pytest.approx(weighted["add"] / n)
    more = (weighted["add"] - weighted["persona"]) / n
    assert value["more than persona prompts", elsewhere] == pytest.approx(more)
    tested = claims.loc[[one for one in claims.index if one[1] == elsewhere]]
    assert (tested["low"] < tested["value"]).all()
    assert (tested["value"] < tested["high"]).all()


def test_mathematics_is_answered_in_writing(workplace, tmp_path):
    (tmp_path / "questions").mkdir()
    for domain in ("math", "food"):
        rows = [
            json.dumps(row(f"What is {domain} {i}?", i) | {"domain": domain}) for i in range(20)
        ]
        (tmp_path / "questions" / f"{domain}.jsonl").write_text("\n".join(rows))
    options = ["--protocol", "release", "--max-new-tokens", 4, "--max-off-domain", 0]
    domains = ["poet", "math", "cook", "food", "ship cook", "food"]
    places = ["--questions", tmp_path / "questions", "--roles", "poet", "--role-domains", *domains]
    assert tried("reproduce_paper", workplace, tmp_path / "out", *options, *places) == 0
    boxed = table(tmp_path / "out", "boxed")
    assert boxed["kind"].tolist() == ["none", "add", "persona"]
    assert boxed["role"].fillna("").tolist() == ["", "poet", "poet"]
    # Four tokens of a random model hold no answer, and end by the limit.
    assert (boxed["cut_off"] > 0).all()
    assert (boxed["accuracy"] <= boxed["readable"]).all()


def test_prompts_that_are_there_twice_count_once(workplace, tmp_path):
    """Else one copy would hold out what the other was fitted on."""
    twice = tmp_path / "roles"
    twice.mkdir()
    for path in (workplace / "roles").iterdir():
        (twice / path.name).write_text(path.read_text() + "\n" + path.read_text())
    tables = []
    for name, roles in (("once", workplace / "roles"), ("twice", twice)):
        assert computed("geometry", workplace, tmp_path / name, "--prompts", roles) == 0
        tables.append(table(tmp_path / name, "separable"))
    pd.testing.assert_frame_equal(*tables)


def test_a_layer_without_directions_is_one_line(workplace, tmp_path, capsys):
    assert tried("geometry", workplace, tmp_path, "--layer", 0) == 2
    assert "layer 0 holds no direction at position -1" in capsys.readouterr().err


def test_patchscope_of_one_role_has_the_judge_of_all(workplace, tmp_path):
    found = []
    for name, roles in (("all", []), ("one", ["--roles", "poet"])):
        assert computed("patchscope", workplace, tmp_path / name, *roles) == 0
        texts = table(tmp_path / name, "persona")
        found.append(texts[texts["role"] == "poet"].reset_index(drop=True))
    pd.testing.assert_frame_equal(*found)
    assert set(texts["role"]) == {"poet"}


class Judge(BaseHTTPRequestHandler):
    """Says the same of every text."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][0]["content"], self.headers["Authorization"]
        self.server.asked.append(asked)
        answer = {"choices": [{"message": {"content": self.server.says}}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = HTTPServer(("127.0.0.1", 0), Judge)
    server.asked = []
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("says", "share"), [("none", 0), ("Poet.", 1 / 3)])
def test_patchscope_with_another_judge(says, share, server, workplace, tmp_path, monkeypatch):
    """It is asked of all texts, of the improving directions too, and of each once."""
    server.says = says
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    options = [
        "--targets",
        "What is X?",
        "--judge-url",
        f"http://127.0.0.1:{server.server_port}/v1",
    ]
    assert tried("patchscope", workplace, tmp_path, *options) == 0
    asked = "\n".join(text for text, _ in server.asked)
    for name in ("persona", "names", "texts"):
        assert all(text in asked for text in table(tmp_path, name)["text"])
    assert {key for _, key in server.asked} == {"Bearer secret"}
    rates = table(tmp_path, "rates")
    assert rates["judge"].tolist() == pytest.approx([share] * (1 + 1 + 6))  # known ones too
    improving = table(tmp_path, "improving")
    assert set(improving["tells"]) == {"ranked first", "named", "judge"}
    assert "<th>judge</th>" in (tmp_path / "report.html").read_text()
    # Answers are kept.
    n_asked = len(server.asked)
    assert computed("patchscope", workplace, tmp_path, *options) == 0
    assert len(server.asked) == n_asked


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("patchscope", ["--inject", "-5"], "injected at [-5]"),
        ("patchscope", ["--targets", "Who?"], "'X'"),
        ("patchscope", ["--judge-url", "localhost:8000/v1"], "must begin with http://"),
        ("patchscope", ["--max-new-tokens", "0"], "at least 1 token, got 0"),
        (
            "layer_sweep",
            ["--max-questions", "1"],
            "each domain needs at least 2 questions for a standard error; too few in ",
        ),
        ("layer_sweep", ["--n-random", "0"], "takes at least 1 random direction, got 0"),
        ("layer_sweep", ["--random-step", "0"], "step must be at least 1, got 0"),
        ("layer_sweep", ["--coefficient", "inf"], "a coefficient must be finite"),
        ("persona_prompts", ["--n-prompts", "0"], "n must be at least 1, got 0"),
        ("logit_lens", ["--n-prompts", "0"], "n must be at least 1, got 0"),
        ("reproduce_paper", ["--coefficients", "nan"], "a coefficient must be a number"),
    ],
)
def test_refused_before_the_sweeps(name, options, message, workplace, tmp_path, capsys):
    assert tried(name, workplace, tmp_path, *options) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.safetensors"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("layer_sweep", "random/verse"),
        ("patchscope", "texts"),
        ("persona_prompts", "asked/verse"),
        ("reproduce_paper", "others/verse"),
    ],
)
def test_folders_of_another_run_are_refused_at_once(name, folder, workplace, tmp_path, capsys):
    """Also those that are written to last."""
    place = tmp_path / folder
    place.mkdir(parents=True)
    (place / "identity.json").write_text('{"model": "another"}')
    assert tried(name, workplace, tmp_path) == 2
    assert f"{place} holds the results of another run" in last_line(capsys)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_role_without_a_direction_keeps_its_prompts(workplace, tmp_path):
    """Such as one whose directions are so long that all of them are beyond the limit."""
    model = load_model(workplace / "model")
    roles, base = load_roles(workplace / "roles"), load_prompts(workplace / "base.txt")
    vectors = RoleVectors.fit(model, roles, base, compute=QUIET)
    assert vectors.roles == ("cook", "poet", "ship cook")
    cook, poet, _ = vectors.role_means - vectors.base_mean
    # The mean of the other two is the base prompts': both of the cook's directions are short.
    shifts = torch.stack([0.01 * cook, 3 * poet, -3 * poet])
    path = tmp_path / "vectors.safetensors"
    replace(vectors, role_means=vectors.base_mean + shifts).save(path)
    out, options = tmp_path / "out", ["--vectors", path, "--max-kl", 0.01]
    assert tried("persona_prompts", workplace, out, *options) == 0
    kinds = table(out, "effects").groupby("role")["kind"].agg(set)
    assert kinds["poet"] == {"persona", "neutral_persona", "persona_over_neutral"}
    assert kinds["cook"] >= {"persona", "neutral_persona", "add", "both"}


def test_each_effect_is_of_its_own_role_and_prompt(workplace, tmp_path):
    """Persona prompt, addition, both, and shift, each measured once more by itself."""
    (tmp_path / "choosing").mkdir()
    for domain, word in (("verse", "line"), ("food", "dish")):
        rows = [json.dumps(row(f"What {word} is {i}?", i) | {"domain": domain}) for i in range(20)]
        (tmp_path / "choosing" / f"{domain}.jsonl").write_text("\n".join(rows))
    out = tmp_path / "out"
    assert computed("persona_prompts", workplace, out, "--validation", tmp_path / "choosing") == 0
    model = load_model(workplace / "model")
    vectors = RoleVectors.load(out / "vectors.safetensors")
    effects = table(out, "effects").set_index(["role", "kind"])["effect"]
    choices = table(out, "choices").set_index("role")
    questions = load_questions(workplace / "questions" / "food.jsonl")

    def margin(patch=None, system=None):
        asking = Asking(system=system)
        scores = evaluate(model, questions, {"it": patch}, asking, compute=QUIET)
        return scores["margin"].mean()

    for role, name in (("cook", "a cook"), ("ship cook", "a ship cook")):
        where = choices.loc[role, ["layer", "position", "contrast", "coefficient"]].to_dict()
        added, said = vectors.add(role, **where), f"You are {name}."
        again = {"add": (added, None), "persona": (None, said), "both": (added, said)}
        for kind, asked in again.items():
            assert effects[role, kind] == pytest.approx(margin(*asked) - margin(), abs=1e-4)

    record = json.loads((out / "results.json").read_text())["settings"]
    prompts = spread(load_prompts(workplace / "base.txt"), record["n_prompts"])
    shifts = table(out, "shifts")
    for instead in (None, "You are a person."):
        (shift,) = persona_shift(
            model, prompts, ["You are a cook."], vectors.positions, instead_of=[instead]
        )
        own = shift_along_directions(shift[0], vectors, "cook")
        named = shifts["instead_of"].str.contains("a person") == (instead is not None)
        shown = shifts[named & (shifts["role"] == "cook")]
        own = own[own["position"] == -1]
        np.testing.assert_allclose(shown["cosine"], own["cosine"], atol=1e-5)


def test_how_far_each_role_moves_the_prediction(workplace, tmp_path):
    assert computed("logit_lens", workplace, tmp_path) == 0
    moved = table(tmp_path, "moved")
    model = load_model(workplace / "model")
    vectors = RoleVectors.load(tmp_path / "vectors.safetensors")
    layer = 3 * vectors.n_layers // 4
    prompts = spread(load_prompts(workplace / "base.txt"), 2)
    assert (moved.loc[moved["layer"] < layer, "kl"] < 1e-9).all()
    for kind, source in (("role", vectors), ("random", rotated(vectors, seed=0))):
        for role in vectors.roles:
            patch = source.add(role, layer=layer, coefficient=2.0, contrast="roles")
            for number, prompt in enumerate(prompts):
                plain, patched = (layer_logprobs(model, prompt, one) for one in (None, patch))
                own = moved[(moved["role"] == role) & (moved["direction"] == kind)]
                own = own[own["prompt"] == number].sort_values("layer")["kl"]
                np.testing.assert_allclose(own, kl_divergence(plain, patched), rtol=1e-4, atol=1e-9)


@pytest.fixture(scope="module")
def quickest(packaged):
    """The packaged model in bfloat16 where that is faster."""
    return packaged if slow_in_two_bytes() else load_model(PACKAGED_MODEL, dtype="bfloat16")


@pytest.mark.packaged
def test_quick_on_the_packaged_model(quickest, fitted, tmp_path, monkeypatch):
    """The quickest of them; all are tried on a tiny model."""
    monkeypatch.setattr(ModelOptions, "load", lambda self: quickest)
    assert start("logit_lens", "--out", tmp_path, "--vectors", fitted, "--quick") == 0
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("name", NAMES)
def test_quick(name, workplace, tmp_path):
    options = [option.format(workplace) for option in OPTIONS[name]]
    assert start(name, "--out", tmp_path, *model_options(workplace), *options, "--quick") == 0
    assert "A quick version" in (tmp_path / "report.html").read_text()
