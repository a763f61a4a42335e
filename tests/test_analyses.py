"""Every analysis from its command line: on a tiny model with all options at work, and in its quick
form on the packaged model."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import CHAT_TEMPLATE, tiny_hf, tiny_tokenizer

from role_lens import (
    RoleLensError,
    RoleVectors,
    evaluate,
    load_model,
    load_prompts,
    load_questions,
)
from role_lens.experiments.controls import rotated
from role_lens.judges import endpoint as endpoint_judge
from role_lens.models import PACKAGED_MODEL, slow_in_two_bytes
from role_lens.prompts import spread
from role_lens.reading.lens import layer_logprobs
from role_lens.reading.persona_shifts import persona_shift, shift_along_directions
from role_lens.reporting.analysis import main
from role_lens.reporting.options import ModelOptions
from role_lens.scoring.divergence import kl_divergence

FOLDER = Path(__file__).parents[1] / "analyses"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
DOMAINS = ["poet", "verse", "cook", "food", "ship cook", "food"]
QUESTIONS = ["--questions", "{0}/questions", "--domains", *DOMAINS]
OPTIONS = {
    "geometry": ["--numbers", "2", "--repeats", "3", "--layer-step", "1"],
    "layer_sweep": [*QUESTIONS, "--n-random", "2", "--random-step", "1"],
    "logit_lens": ["--n-prompts", "2", "--top-k", "3", "--shown", "poet"],
    "benchmark_transfer": [
        *QUESTIONS,
        "--benchmarks",
        "{0}/more.jsonl",
        "--n-shuffled",
        "2",
        "--max-kl",
        "None",
    ],
    "patchscope": [*QUESTIONS, "--layer-step", "1", "--max-new-tokens", "3", "--inject", "-1", "1"],
    "persona_prompts": [*QUESTIONS, "--n-prompts", "3", "--max-kl", "None"],
    "reproduce_paper": [*QUESTIONS, "--coefficients", "1", "2", "--max-off-domain", "20"],
}
TAKE_ALL_POSITIONS = {"benchmark_transfer", "reproduce_paper"}
TABLES = {
    "geometry": {
        *("by_layer", "cosines", "components", "separable", "stable", "resampled", "pulls"),
    },
    "layer_sweep": {"estimated", "exact", "random"},
    "logit_lens": {"words", "named", "moved", "predicted", "views"},
    "benchmark_transfer": {"table", "effects", "choices"},
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


def start(name, *arguments):
    module = analysis(name)
    return main(module.Config, module.run, module.draw, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A tiny model folder, role and base prompts, and questions of three domains."""
    folder = tmp_path_factory.mktemp("analyses")
    tiny_hf("llama").save_pretrained(folder / "model")
    tiny_tokenizer(template=CHAT_TEMPLATE).save_pretrained(folder / "model")
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


def test_every_analysis_is_tried():
    assert sorted(OPTIONS) == sorted(TABLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_tables_figures_report_and_drawing_again(name, workplace, tmp_path, capsys, monkeypatch):
    options = [option.format(workplace) for option in OPTIONS[name]]
    out = tmp_path / "out"
    assert start(name, "--out", out, *model_options(workplace), *options) == 0
    assert f"Written to {out}" in capsys.readouterr().out
    record = json.loads((out / "results.json").read_text())
    assert set(record["tables"]) >= TABLES[name]
    assert record["settings"]["setup"]["seed"] == 0
    assert record["versions"]["torch"]
    for table in record["tables"]:
        assert len(pd.read_parquet(out / f"{table}.parquet"))
    report = (out / "report.html").read_text()
    figures = sorted(out.glob("*.png"))
    assert len(figures) == report.count("data:image/png") > 0
    # Nothing is fetched: all sources are data, and the only addresses are in the script's text.
    page = re.sub(r"<script>.*?</script>", "", report, flags=re.DOTALL)
    assert not re.search(r"(src|href)=(?![\"']data:)", page)
    drawn = {path.name: path.read_bytes() for path in figures}

    def no_model(self):
        raise AssertionError("drawing again loaded the model")

    monkeypatch.setattr(ModelOptions, "load", no_model)
    for path in figures:
        path.unlink()
    assert start(name, "--out", out, "--redraw") == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.png")} == drawn


def test_a_seed_below_zero_is_one_line(workplace, tmp_path, capsys):
    assert start("geometry", "--out", tmp_path, *model_options(workplace), "--seed", -1) == 2
    assert "seeds count from 0, got -1" in capsys.readouterr().err


def test_results_that_were_not_written_whole_are_none(workplace, tmp_path, monkeypatch):
    """New tables beside an old record would be taken for its."""
    arguments = ["geometry", "--out", tmp_path, *model_options(workplace), *OPTIONS["geometry"]]
    assert start(*arguments) == 0

    def full(path, table):
        raise RoleLensError("the disk is full")

    monkeypatch.setattr("role_lens.reporting.analysis.write_table", full)
    assert start(*arguments) == 2
    assert start("geometry", "--out", tmp_path, "--redraw") == 2


def test_a_role_without_a_domain_is_one_line(workplace, tmp_path, capsys):
    arguments = ["--questions", workplace / "questions", *model_options(workplace)]
    assert start("layer_sweep", "--out", tmp_path, *arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("role-lens: role 'cook' has no domain")


def test_drawing_nothing_is_one_line(tmp_path, capsys):
    assert start("geometry", "--out", tmp_path, "--redraw") == 2
    assert "holds no results to draw" in capsys.readouterr().err


def test_damaged_results(workplace, tmp_path, capsys):
    """Drawing them again says what to do; a new run makes them anew."""
    arguments = ["geometry", "--out", tmp_path, *model_options(workplace), *OPTIONS["geometry"]]
    assert start(*arguments) == 0
    (tmp_path / "cosines.parquet").unlink()
    assert start(*arguments, "--redraw") == 2
    assert "run the analysis again" in capsys.readouterr().err
    assert start(*arguments) == 0
    (tmp_path / "results.json").write_text("[]")
    assert start(*arguments) == 2
    assert "results.json is damaged: delete it" in capsys.readouterr().err


def test_kept_vectors_of_another_precision(workplace, tmp_path, capsys):
    arguments = ["geometry", "--out", tmp_path, *model_options(workplace), *OPTIONS["geometry"]]
    assert start(*arguments, "--dtype", "bfloat16") == 0
    assert start(*arguments) == 2
    assert "model in torch.bfloat16, the model is model in torch.float32" in capsys.readouterr().err


def test_kept_vectors_of_a_model_of_another_name(workplace, tmp_path, capsys):
    """Such as another quantisation, which computes nearly the same."""
    options = model_options(workplace)
    arguments = ["geometry", "--out", tmp_path, *OPTIONS["geometry"]]
    assert start(*arguments, *options) == 0
    shutil.copytree(workplace / "model", tmp_path / "tuned")
    options[1] = tmp_path / "tuned"
    assert start(*arguments, *options) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "model in torch.float32, the model is tuned in torch.float32: choose another" in last


def test_a_role_without_a_domain_may_be_among_the_vectors(workplace, tmp_path):
    """Where it isn't asked for: of the others all whose domain has questions are estimated."""
    roles = tmp_path / "roles"
    roles.mkdir()
    for name in ("poet", "cook", "beekeeper"):
        (roles / f"{name}.txt").write_text(f"How old is a {name}?\nHow tall?\nWhen?\n")
    options = [*model_options(workplace), "--prompts", roles, "--questions"]
    options += [workplace / "questions", "--domains", "poet", "verse", "cook", "food"]
    options += ["--roles", "poet", "--n-random", "1", "--random-step", "2"]
    assert start("layer_sweep", "--out", tmp_path / "out", *options) == 0
    asked = {
        name: set(pd.read_parquet(tmp_path / "out" / f"{name}.parquet")["role"])
        for name in TABLES["layer_sweep"]
    }
    assert asked == {"estimated": {"poet", "cook"}, "exact": {"poet"}, "random": {"poet"}}


def test_estimates_are_kept_and_go_with_the_coefficient(workplace, tmp_path, monkeypatch):
    module = analysis("layer_sweep")
    options = [option.format(workplace) for option in OPTIONS["layer_sweep"]]
    usual = list(map(str, ["--out", tmp_path, *model_options(workplace), *options]))
    tables, asked, attribute = [], [], module.attribute

    def counted(model, vectors, questions, **options):
        asked.append(questions[0].domain)
        return attribute(model, vectors, questions, **options)

    monkeypatch.setattr(module, "attribute", counted)
    for coefficient in ("1", "-2"):
        arguments = [*usual, "--coefficient", coefficient]
        assert main(module.Config, module.run, module.draw, arguments) == 0
        tables.append(pd.read_parquet(tmp_path / "estimated.parquet"))
    assert sorted(asked) == ["food", "verse"]
    once, back = tables
    pd.testing.assert_series_equal(back["effect"], -2 * once["effect"])
    pd.testing.assert_series_equal(back["sem"], 2 * once["sem"])


def test_roles_of_domains_that_nobody_asks(workplace, tmp_path, capsys):
    options = [option.format(workplace) for option in OPTIONS["layer_sweep"]]
    arguments = ["--out", tmp_path, *model_options(workplace), *options, "--domain", "other"]
    assert start("layer_sweep", *arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "no role has its domain among other: name one, such as --domains 'cook' 'other'" in last


def test_one_role(workplace, tmp_path):
    """There is no tree of it, and nothing to hold it against but the base prompts."""
    roles = tmp_path / "roles"
    roles.mkdir()
    (roles / "poet.txt").write_text((workplace / "roles" / "poet.txt").read_text())
    arguments = [*model_options(workplace), "--prompts", roles]
    assert start("geometry", "--out", tmp_path / "out", *arguments, *OPTIONS["geometry"]) == 0
    assert not (tmp_path / "out" / "families.png").exists()
    assert set(pd.read_parquet(tmp_path / "out" / "separable.parquet")["contrast"]) == {"base"}


def test_quick_pages_say_so(workplace, tmp_path):
    arguments = ["--out", tmp_path, *model_options(workplace), *OPTIONS["geometry"]]
    assert start("geometry", *arguments, "--quick") == 0
    assert "A quick version" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "vectors.safetensors").exists()  # it is fitted on fewer prompts
    assert start("geometry", *arguments) == 0
    assert "A quick version" not in (tmp_path / "report.html").read_text()


def test_kept_vectors_of_other_prompts_are_refused(workplace, tmp_path, capsys):
    options = ["--out", tmp_path, *model_options(workplace), *OPTIONS["logit_lens"]]
    assert start("logit_lens", *options) == 0
    other = tmp_path / "roles"
    other.mkdir()
    for role in ("poet", "cook", "ship_cook"):
        (other / f"{role}.txt").write_text("Other?\nPrompts?\n")
    assert start("logit_lens", *options, "--prompts", other) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"vectors.safetensors: .*other prompts.*another folder", last)


def test_another_analysis_does_not_overwrite(workplace, tmp_path, capsys):
    arguments = ["--out", tmp_path, *model_options(workplace)]
    assert start("logit_lens", *arguments, *OPTIONS["logit_lens"]) == 0
    for more in ([], ["--redraw"]):
        assert start("geometry", *arguments, *more) == 2
        assert "holds the results of logit_lens: choose another" in capsys.readouterr().err


def test_own_vectors_need_their_prompts(workplace, tmp_path, capsys):
    arguments = ["--out", tmp_path / "a", *model_options(workplace), *OPTIONS["logit_lens"]]
    assert start("logit_lens", *arguments) == 0
    vectors = tmp_path / "a" / "vectors.safetensors"
    arguments = ["--out", tmp_path / "b", "--model", workplace / "model", "--vectors", vectors]
    assert start("logit_lens", *arguments) == 2
    assert "name theirs with --prompts and --base" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted({*NAMES} - TAKE_ALL_POSITIONS))
def test_positions_are_checked_at_once(name, workplace, tmp_path, capsys):
    options = [option.format(workplace) for option in OPTIONS[name]]
    arguments = ["--out", tmp_path, *model_options(workplace), *options, "--position", -40]
    assert start(name, *arguments) == 2
    assert "position -40 is out of range" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.safetensors"]


@pytest.mark.filterwarnings("ignore:2 of 3 roles are left out")
@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("layer_sweep", "estimated"),
        ("patchscope", "texts"),
        ("benchmark_transfer", "choices"),
        ("persona_prompts", "choices"),
        ("reproduce_paper", "best"),
    ],
)
def test_one_domain_is_enough(name, table, workplace, tmp_path):
    """Of roles whose domain is not asked, nothing is."""
    options = [option.format(workplace) for option in OPTIONS[name]]
    arguments = ["--out", tmp_path, *model_options(workplace), *options, "--domain", "verse"]
    assert start(name, *arguments) == 0
    assert set(pd.read_parquet(tmp_path / f"{table}.parquet")["role"]) == {"poet"}


def test_random_ablations_are_one_band_a_domain(workplace, tmp_path):
    """They have neither a role nor a layer; additions have both."""
    options = [option.format(workplace) for option in OPTIONS["layer_sweep"]]
    roles = ["--roles", "poet", "cook", "ship cook"]
    arguments = ["--out", tmp_path, *model_options(workplace), *options, *roles]
    assert start("layer_sweep", *arguments) == 0
    random = pd.read_parquet(tmp_path / "random.parquet").groupby(["kind", "domain"])
    vectors = RoleVectors.load(tmp_path / "vectors.safetensors")
    each = 2 * len(vectors.contrasts) * (vectors.n_layers - 1)  # layer 0 holds no direction
    assert random.size().to_dict() == {
        ("ablate", "food"): 2,
        ("ablate", "verse"): 2,
        ("add", "food"): 2 * each,
        ("add", "verse"): each,
    }


def test_texts_of_a_stopped_run_are_kept(workplace, tmp_path, monkeypatch):
    module = analysis("patchscope")
    options = [option.format(workplace) for option in OPTIONS["patchscope"]]
    arguments = list(map(str, ["--out", tmp_path, *model_options(workplace), *options]))
    asked, patchscope = [], module.patchscope

    def counted(*args, **options):
        asked.append(options["target"])
        if len(asked) == 5:
            raise RoleLensError("stopped")
        return patchscope(*args, **options)

    monkeypatch.setattr(module, "patchscope", counted)
    assert main(module.Config, module.run, module.draw, arguments) == 2
    assert main(module.Config, module.run, module.draw, arguments) == 0
    assert len(asked) == 2 + 12 + 1  # names, every way once, and the one that failed
    assert len(pd.read_parquet(tmp_path / "texts.parquet")) == 12 * 2 * 3
    # Those of another position are others.
    assert main(module.Config, module.run, module.draw, [*arguments, "--position", "-2"]) == 0
    assert len(asked) == 2 * (2 + 12) + 1


def test_the_paper_is_not_tested_on_the_questions_that_chose(workplace, tmp_path):
    """Its best directions are measured on them, with no p and no verdict."""
    options = [option.format(workplace) for option in OPTIONS["reproduce_paper"]]
    assert start("reproduce_paper", "--out", tmp_path, *model_options(workplace), *options) == 0
    effects = pd.read_parquet(tmp_path / "effects.parquet")
    assert set(effects["in_domain"]) == {True, False}
    assert not [name for name in effects.columns if name.startswith(("p_", "q_", "verdict", "low"))]
    best = pd.read_parquet(tmp_path / "best.parquet").set_index("role")
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
    options = [option.format(workplace) for option in OPTIONS["reproduce_paper"]]
    options[options.index("--max-off-domain") + 1] = "0"
    assert start("reproduce_paper", "--out", tmp_path, *model_options(workplace), *options) == 0
    assert set(pd.read_parquet(tmp_path / "effects.parquet")["in_domain"]) == {True}


def test_prompts_that_are_there_twice_count_once(workplace, tmp_path):
    """Else one copy would hold out what the other was fitted on."""
    twice = tmp_path / "roles"
    twice.mkdir()
    for path in (workplace / "roles").iterdir():
        (twice / path.name).write_text(path.read_text() + "\n" + path.read_text())
    tables = []
    for name, roles in (("once", workplace / "roles"), ("twice", twice)):
        arguments = [*model_options(workplace), "--prompts", roles, *OPTIONS["geometry"]]
        assert start("geometry", "--out", tmp_path / name, *arguments) == 0
        tables.append(pd.read_parquet(tmp_path / name / "separable.parquet"))
    pd.testing.assert_frame_equal(*tables)


def test_a_layer_without_directions_is_one_line(workplace, tmp_path, capsys):
    arguments = ["--out", tmp_path, *model_options(workplace), *OPTIONS["geometry"]]
    assert start("geometry", *arguments, "--layer", 0) == 2
    assert "layer 0 holds no direction at position -1" in capsys.readouterr().err


def test_patchscope_of_one_role_has_the_judge_of_all(workplace, tmp_path):
    options = [option.format(workplace) for option in OPTIONS["patchscope"]]
    found = []
    for name, roles in (("all", []), ("one", ["--roles", "poet"])):
        arguments = ["--out", tmp_path / name, *model_options(workplace), *options, *roles]
        assert start("patchscope", *arguments) == 0
        texts = pd.read_parquet(tmp_path / name / "persona.parquet")
        found.append(texts[texts["role"] == "poet"].reset_index(drop=True))
    pd.testing.assert_frame_equal(*found)
    assert set(texts["role"]) == {"poet"}


@pytest.mark.parametrize(("named", "share"), [(None, 0), ("poet", 1 / 3)])
def test_patchscope_with_another_judge(named, share, workplace, tmp_path, monkeypatch):
    """It is asked of all texts, a few at once, and of the improving directions too."""
    module = analysis("patchscope")
    asked = []

    def ask(texts, roles, **options):
        asked.append(len(texts))
        return [named] * len(texts)

    monkeypatch.setattr(endpoint_judge, "ask_endpoint", ask)
    monkeypatch.setattr(endpoint_judge, "_ASKED_AT_ONCE", 5)
    options = [option.format(workplace) for option in OPTIONS["patchscope"]]
    arguments = ["--out", tmp_path, *model_options(workplace), *options, "--judge-url", "http://x"]
    assert main(module.Config, module.run, module.draw, list(map(str, arguments))) == 0
    assert max(asked) == 5
    rates = pd.read_parquet(tmp_path / "rates.parquet")
    assert rates["judge"].tolist() == pytest.approx([share] * (1 + 2 + 12))  # known ones too
    improving = pd.read_parquet(tmp_path / "improving.parquet")
    assert set(improving["tells"]) == {"ranked first", "named", "judge"}
    assert "<th>judge</th>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("patchscope", ["--inject", "-5"], "injected at [-5]"),
        ("patchscope", ["--targets", "Who?"], "'X'"),
        ("patchscope", ["--judge-url", "localhost:8000/v1"], "must begin with http://"),
        ("patchscope", ["--max-new-tokens", "0"], "at least 1 token, got 0"),
        ("layer_sweep", ["--max-questions", "1"], "takes at least 2 questions"),
        ("layer_sweep", ["--n-random", "0"], "takes at least 1 random direction, got 0"),
        ("layer_sweep", ["--random-step", "0"], "a step from layer to layer is at least 1, got 0"),
        ("persona_prompts", ["--n-prompts", "0"], "at least one prompt is needed, got 0"),
    ],
)
def test_refused_before_the_sweeps(name, options, message, workplace, tmp_path, capsys):
    usual = [option.format(workplace) for option in OPTIONS[name]]
    arguments = ["--out", tmp_path, *model_options(workplace), *usual, *options]
    assert start(name, *arguments) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.safetensors"]


def test_a_role_without_a_direction_keeps_its_prompts(workplace, tmp_path, monkeypatch):
    module = analysis("persona_prompts")
    choose = module.select_by_domain

    def without_poet(*args, **options):
        chosen = choose(*args, **options)
        return {role: one for role, one in chosen.items() if role != "poet"}

    monkeypatch.setattr(module, "select_by_domain", without_poet)
    options = [option.format(workplace) for option in OPTIONS["persona_prompts"]]
    arguments = list(map(str, ["--out", tmp_path, *model_options(workplace), *options]))
    assert main(module.Config, module.run, module.draw, arguments) == 0
    effects = pd.read_parquet(tmp_path / "effects.parquet")
    kinds = effects.groupby("role")["kind"].agg(set)
    assert kinds["poet"] == {"persona", "neutral_persona", "persona_over_neutral"}
    assert kinds["cook"] >= {"persona", "neutral_persona", "add", "both"}


def test_each_effect_is_of_its_own_role_and_prompt(workplace, tmp_path):
    """Persona prompt, addition, both, and shift, each measured once more by itself."""
    (tmp_path / "choosing").mkdir()
    for domain, word in (("verse", "line"), ("food", "dish")):
        rows = [json.dumps(row(f"What {word} is {i}?", i) | {"domain": domain}) for i in range(20)]
        (tmp_path / "choosing" / f"{domain}.jsonl").write_text("\n".join(rows))
    out = tmp_path / "out"
    options = [option.format(workplace) for option in OPTIONS["persona_prompts"]]
    options += ["--validation", tmp_path / "choosing"]
    assert start("persona_prompts", "--out", out, *model_options(workplace), *options) == 0
    model = load_model(workplace / "model")
    vectors = RoleVectors.load(out / "vectors.safetensors")
    effects = pd.read_parquet(out / "effects.parquet").set_index(["role", "kind"])["effect"]
    choices = pd.read_parquet(out / "choices.parquet").set_index("role")
    questions = load_questions(workplace / "questions" / "food.jsonl")

    def logprob(patch=None, system=None):
        table = evaluate(model, questions, {"it": patch}, system=system, progress=False)
        return table["logprob_correct"].mean()

    for role, name in (("cook", "a cook"), ("ship cook", "a ship cook")):
        where = choices.loc[role, ["layer", "position", "contrast", "coefficient"]].to_dict()
        added, said = vectors.add(role, **where), f"You are {name}."
        again = {"add": (added, None), "persona": (None, said), "both": (added, said)}
        for kind, asked in again.items():
            assert effects[role, kind] == pytest.approx(logprob(*asked) - logprob(), abs=1e-5)

    record = json.loads((out / "results.json").read_text())["settings"]
    prompts = spread(load_prompts(workplace / "base.txt"), record["n_prompts"])
    shifts = pd.read_parquet(out / "shifts.parquet")
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
    options = [*model_options(workplace), *OPTIONS["logit_lens"]]
    assert start("logit_lens", "--out", tmp_path, *options) == 0
    moved = pd.read_parquet(tmp_path / "moved.parquet")
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
@pytest.mark.parametrize("name", NAMES)
def test_quick_on_the_packaged_model(name, quickest, fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(ModelOptions, "load", lambda self: quickest)
    assert start(name, "--out", tmp_path, "--vectors", fitted, "--quick") == 0
    assert (tmp_path / "report.html").stat().st_size > 10_000
