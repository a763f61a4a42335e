"""A run folder is of one run: the same goes on there, and another is refused by what differs."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from tiny import make_workplace, tiny_bridge

from role_lens import Question
from role_lens.cli import main
from role_lens.cli.tour import Material
from role_lens.interop import write_task
from role_lens.reporting import ModelOptions


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A tiny model folder, two files of fitted vectors, and questions of two domains."""
    folder = tmp_path_factory.mktemp("folders")
    make_workplace(folder)
    rows = [json.loads(line) for line in (folder / "many.jsonl").read_text().splitlines()]
    others = [{**row, "question": f"Is it {row['question']}"} for row in rows]
    (folder / "others.jsonl").write_text("\n".join(map(json.dumps, others)))
    (folder / "few.jsonl").write_text("\n".join(map(json.dumps, rows[:10])))
    for name, base in (("v", "Tea?\nLunch!\nSo it goes.\n"), ("w", "Rain?\nSun!\nAnd so on.\n")):
        (folder / "base.txt").write_text(base)
        arguments = ["fit", *of(folder, "model"), *of(folder, "prompts", "roles")]
        arguments += [*of(folder, "base", "base.txt"), *of(folder, "out", f"{name}.safetensors")]
        assert main(arguments) == 0
    return folder


def of(folder, option, name=None):
    """An option with a path in the workplace."""
    return [f"--{option}", str(folder / (name or option))]


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def check_others(arguments, out, others, capsys):
    """Other options are refused in one line, by what differs, and nothing is written; the same ones
    are repeated.

    Args:
        others: what is said -> options, of which the last ones count.
    """
    assert main([*arguments, "--out", str(out)]) == 0
    before = written(out)
    for differs, options in others.items():
        capsys.readouterr()
        assert main([*arguments, *options, "--out", str(out)]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith(f"role-lens: {out} holds the results of another run, which differs")
        assert differs in last
        assert written(out) == before
    assert main([*arguments, "--device", "cpu", "--out", str(out)]) == 0


def test_sweep(workplace, tmp_path, capsys):
    arguments = ["sweep", *of(workplace, "model"), *of(workplace, "vectors", "v.safetensors")]
    arguments += [*of(workplace, "questions", "few.jsonl"), "--layers", "1", "2", "--roles", "poet"]
    others = {
        "layers ([1, 2] there, [2] here)": ["--layers", "2"],
        "coefficients ([1.0] there, [2.0] here)": ["--coefficients", "2"],
        "roles (['poet'] there, ['cook'] here)": ["--roles", "cook"],
        "screen (None there, 1 here)": ["--screen", "1"],
        "scoring ('letter' there, 'cloze' here)": ["--scoring", "cloze"],
        "vectors ('": of(workplace, "vectors", "w.safetensors"),
        "questions ('": of(workplace, "questions", "many.jsonl"),
        "dtype ('torch.float32' there, 'torch.bfloat16' here)": ["--dtype", "bfloat16"],
    }
    check_others(arguments, tmp_path / "out", others, capsys)


@pytest.mark.long
def test_compare(workplace, tmp_path, capsys, monkeypatch):
    arguments = ["compare", *of(workplace, "model"), *of(workplace, "vectors", "v.safetensors")]
    arguments += [*of(workplace, "questions", "many.jsonl"), "--roles", "poet", "--layers", "1"]
    arguments += ["--role-domains", "poet", "verse", "cook", "food", "--screen", "1"]
    arguments += ["--max-kl", "None", "--n-shuffled", "0", "--max-off-domain", "0"]
    others = {
        "coefficients ([1.0] there, [2.0] here)": ["--coefficients", "2"],
        "roles (['poet'] there, ['cook'] here)": ["--roles", "cook"],
        "seed (0 there, 1 here)": ["--seed", "1"],
        "validation (None there, '": of(workplace, "validation", "others.jsonl"),
    }
    check_others(arguments, tmp_path / "out", others, capsys)
    # A path as only a shell that doesn't know `~` in its middle would leave it.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--out", "~/home"]) == 0
    assert (tmp_path / "home" / "comparison.png").exists()
    assert not Path("~").exists()


@pytest.mark.long
@pytest.mark.usefixtures("own_tasks_only")
def test_lm_eval(workplace, tmp_path, capsys, monkeypatch):
    questions = [Question(f"q{i}", f"Which {i}?", ("a", "bc"), i % 2, "s", "d") for i in range(4)]
    write_task(questions, tmp_path / "tasks", "letters", template="mmlu")
    arguments = ["lm-eval", "--tasks", "letters", *of(tmp_path, "include-path", "tasks")]
    arguments += [*of(workplace, "model"), *of(workplace, "vectors", "v.safetensors")]
    arguments += ["--role", "poet", "--layer", "1"]
    others = {
        "patches (['add 1 x poet@1 (base, position -1)'] there": ["--layer", "2"],
        "'ablate poet@1 (base, position -1)'] here)": ["--kinds", "add", "ablate"],
        "patch add 1 x poet@1 (base, position -1) ('": of(workplace, "vectors", "w.safetensors"),
        "option limit (None there, 2 here)": ["--limit", "2"],
    }
    check_others(arguments, tmp_path / "out", others, capsys)


@pytest.fixture
def little(monkeypatch):
    """The demo of little material and a tiny model."""
    model = tiny_bridge("llama", max_position_embeddings=1024)
    monkeypatch.setattr(ModelOptions, "load", lambda self: model)

    def material(roles, base, questions):
        few = [question for question in questions if question.domain == "econ"][:4]
        return Material({role: texts[:2] for role, texts in roles.items()}, base[:8], few)

    monkeypatch.setattr("role_lens.cli.tour.Material", material)


@pytest.mark.long
def test_demo(little, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "identity.json").write_text(json.dumps({"run": "sweep"}))
    assert main(["demo", "--out", str(tmp_path / "other")]) == 2
    assert "differs in run ('sweep' there, 'demo' here)" in capsys.readouterr().err
    assert os.listdir(tmp_path / "other") == ["identity.json"]


def test_a_table_goes_into_a_new_folder(workplace, tmp_path):
    out = tmp_path / "new" / "folder" / "t.csv"
    arguments = ["evaluate", *of(workplace, "model"), *of(workplace, "vectors", "v.safetensors")]
    arguments += [*of(workplace, "questions", "few.jsonl"), "--role", "poet", "--layer", "1"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert len(pd.read_csv(out)) == 20
