import io
import json
import sys

import pandas as pd
import pytest
from tiny import CHAT_TEMPLATE, tiny_hf, tiny_tokenizer

from role_lens import Question, RoleVectors
from role_lens.cli import main
from role_lens.interop.lm_eval_task import write_task
from role_lens.reporting.terminal import reported, say


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A tiny model folder, role files and fitted vectors."""
    folder = tmp_path_factory.mktemp("cli")
    tiny_hf("llama").save_pretrained(folder / "model")
    tiny_tokenizer(template=CHAT_TEMPLATE).save_pretrained(folder / "model")
    (folder / "roles").mkdir()
    (folder / "roles" / "poet.txt").write_text("Rhyme?\nOde!\nScan this.\n")
    (folder / "roles" / "ship_cook.txt").write_text("Salt?\nStew!\nBoil this now.\n")
    (folder / "base.txt").write_text("Tea?\nLunch!\nSo it goes.\n")
    row = {"question": "2+2?", "choices": ["3", "4"], "answer": 1}
    (folder / "q.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "answer": 0}))
    arguments = ["fit", "--model", f"{folder}/model", "--prompts", f"{folder}/roles"]
    arguments += ["--base", f"{folder}/base.txt", "--out", f"{folder}/v.safetensors"]
    assert main(arguments) == 0
    return folder


def patching(folder, **changes):
    options = {"vectors": f"{folder}/v.safetensors", "role": "poet", "layer": "1", **changes}
    return [part for key, value in options.items() for part in (f"--{key}", value)]


def test_fit_and_info(workplace, capsys):
    assert RoleVectors.load(workplace / "v.safetensors").roles == ("poet", "ship cook")
    assert main(["info", "--vectors", f"{workplace}/v.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "poet (3), ship cook (3)" in out
    assert "model: model" in out
    assert "mean_cosine" in out


def test_one_role_of_few_prompts_is_told_what_it_is(workplace, capsys):
    arguments = ["fit", "--model", f"{workplace}/model", "--base", f"{workplace}/base.txt"]
    arguments += ["--prompts", f"{workplace}/roles/poet.txt"]
    arguments += ["--out", f"{workplace}/one.safetensors"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 role, ")
    assert "others would give quite another direction: poet (3)" in out
    assert "A single role has contrast base only" in out
    assert main(["info", "--vectors", f"{workplace}/one.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "mean_norm" in out
    assert "nan" not in out.lower()


@pytest.mark.parametrize("kind", ["add", "ablate", "clamp", "cap"])
def test_steer_prints_side_by_side(workplace, capsys, kind):
    arguments = ["steer", "--prompt", "Hello there?", "--model", f"{workplace}/model"]
    arguments += ["--kind", kind, "--max-new-tokens", "5", *patching(workplace)]
    assert main(arguments) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.split("|")[0].strip() == "plain"
    assert first.split("|")[1].strip() == f"{kind} poet, layer 1"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_evaluate_prints_accuracy_beside_chance(workplace, capsys, suffix):
    out = workplace / "tables" / f"t.{suffix}"
    arguments = ["evaluate", "--questions", f"{workplace}/q.jsonl", "--scoring", "cloze"]
    arguments += ["--model", f"{workplace}/model", "--out", str(out), *patching(workplace)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "accuracy" in printed
    assert "chance" in printed
    table = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert table["patch"].tolist() == [
        "baseline", "baseline", "add poet@1", "add poet@1", "ablate poet@1", "ablate poet@1",
    ]  # fmt: skip


def test_sweep_writes_and_prints_the_largest_effects(workplace, capsys):
    out = workplace / "sweep"
    arguments = ["sweep", "--questions", f"{workplace}/q.jsonl", "--out", str(out)]
    arguments += ["--model", f"{workplace}/model", "--vectors", f"{workplace}/v.safetensors"]
    arguments += ["--roles", "poet", "--layers", "1", "2", "--coefficients", "1", "-1"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "on 2 questions" in printed
    assert "test a choice on other questions" in printed
    effects = pd.read_parquet(out / "effects.parquet")
    assert set(effects["layer"].dropna()) == {1, 2}
    assert main([*arguments, "--scoring", "cloze"]) == 2
    assert "differs in scoring ('letter' there, 'cloze' here)" in capsys.readouterr().err


def test_evaluate_generated_answers(workplace, capsys):
    out = workplace / "generated.csv"
    arguments = ["evaluate", "--scoring", "generate", "--max-new-tokens", "3", "--out", str(out)]
    arguments += ["--model", f"{workplace}/model", *patching(workplace)]
    assert main([*arguments, "--questions", f"{workplace}/q.jsonl"]) == 0
    assert "unreadable" in capsys.readouterr().out
    assert pd.read_csv(out)["truncated"].tolist() == [True] * 6
    numbers = workplace / "numbers.jsonl"
    numbers.write_text('{"question": "2+2?", "answer": "#### 4"}')
    assert main([*arguments, "--questions", str(numbers), "--numeric"]) == 0
    assert pd.read_csv(out)["answer"].tolist() == [4] * 3


def test_compare_prints_a_verdict(workplace, capsys):
    rows = [
        {"question": f"{i}+{i}?", "choices": [str(i), str(2 * i)], "answer": 1, "domain": domain}
        for i, domain in enumerate(["verse", "food"] * 40)
    ]
    questions = workplace / "many.jsonl"
    questions.write_text("\n".join(map(json.dumps, rows)))
    out = workplace / "comparison"
    arguments = ["compare", "--questions", str(questions), "--out", str(out), "--template", "mmlu"]
    arguments += ["--model", f"{workplace}/model", "--vectors", f"{workplace}/v.safetensors"]
    arguments += ["--layers", "1", "--screen", "1", "--positions", "-1", "--max-kl", "None"]
    assert main(arguments) == 2
    assert "role 'poet' has no domain" in capsys.readouterr().err
    arguments += ["--domains", "poet", "verse", "ship cook", "food"]
    arguments += ["--prompts", f"{workplace}/roles", "--base", f"{workplace}/base.txt"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "p_helps_adjusted" in printed
    assert "verdict" in printed
    table = pd.read_csv(out / "comparison.csv")
    assert table["verdict"].str.contains("helps|hurts|no detectable effect").all()
    assert table["role"].tolist() == ["ship cook", "poet", "poet", "ship cook"]
    assert (out / "comparison.png").exists()


def test_lm_eval_command(workplace, capsys):
    questions = [Question(f"q{i}", f"Which {i}?", ("a", "bc"), i % 2, "s", "d") for i in range(4)]
    write_task(questions, workplace / "tasks", "letters", template="mmlu")
    out = workplace / "lm-eval"
    arguments = ["lm-eval", "--tasks", "letters", "--include-path", f"{workplace}/tasks"]
    arguments += ["--model", f"{workplace}/model", "--out", str(out), *patching(workplace)]
    assert main(arguments) == 0
    assert "ablate poet@1" in capsys.readouterr().out
    assert len(pd.read_parquet(out / "samples.parquet")) == 4
    arguments[2] = "numbers"
    assert main(arguments) == 2
    assert "knows no task 'numbers'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "changes", "message"),
    [
        ("steer", {"role": "poett"}, "unknown role 'poett': did you mean 'poet'"),
        ("steer", {"layer": "7"}, "layer 7 is out of range"),
        ("steer", {"position": "-50"}, "position -50 is out of range"),
        ("steer", {"vectors": "nowhere.safetensors"}, "no vectors at"),
        ("steer", {"prompt": " "}, "prompt 0 is empty"),
        ("steer", {"value": "2"}, "--value is for kinds clamp and cap"),
        ("steer", {"kind": "cap", "coefficient": "2"}, "--coefficient is for kind add"),
        ("evaluate", {"questions": "nowhere.jsonl"}, "no questions at"),
        ("evaluate", {"out": "table.xls"}, ".csv or .parquet"),
        ("evaluate", {"out": "/proc/none/t.csv"}, "can't write to the output folder"),
        ("fit", {"prompts": "nowhere"}, "no role prompts at"),
        ("fit", {"out": "/proc/none/v.safetensors"}, "can't write to the output folder"),
        ("fit", {"out": "new/v.safetensors", "model": "nobody/none"}, "can't load the model"),
        ("fit", {"out": "roles"}, "it is a folder"),
        ("info", {"vectors": "q.jsonl"}, "not a readable safetensors file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    workplace, capsys, monkeypatch, command, changes, message
):
    monkeypatch.chdir(workplace)
    defaults = {
        "steer": {"prompt": "Hi", "model": "model", "vectors": "v.safetensors"}
        | {"role": "poet", "layer": "1"},
        "evaluate": {"questions": "q.jsonl", "model": "model", "vectors": "v.safetensors"}
        | {"role": "poet", "layer": "1"},
        "fit": {"model": "model", "prompts": "roles", "base": "base.txt", "out": "w.safetensors"},
        "info": {},
    }
    options = {**defaults[command], **changes}
    before = sorted(workplace.rglob("*"))
    code = main([command, *(p for k, v in options.items() for p in (f"--{k}", v))])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    lines = [x for x in captured.err.splitlines() if x.startswith("role-lens: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert captured.err.rstrip().endswith(lines[0])
    assert sorted(workplace.rglob("*")) == before


def test_unknown_command_exits_with_2():
    with pytest.raises(SystemExit) as stop:
        main(["dance"])
    assert stop.value.code == 2


def test_interruption(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("role_lens.cli.RoleVectors.load", interrupted)
    assert main(["info", "--vectors", "x"]) == 130
    assert capsys.readouterr().err == "role-lens: interrupted\n"


@pytest.mark.packaged
def test_demo(packaged, tmp_path, capsys, monkeypatch):
    """The whole tour, on fewer prompts and questions."""
    from role_lens import load_prompts, load_questions, load_roles

    demo = sys.modules["role_lens.cli.demo"]
    roles = {role: prompts[:4] for role, prompts in load_roles("builtin").items()}
    monkeypatch.setattr(demo, "load_roles", lambda source: roles)
    monkeypatch.setattr(demo, "load_prompts", lambda source: load_prompts(source)[:8])
    monkeypatch.setattr(demo, "load_questions", lambda s, domain: load_questions(s)[:4])
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    assert sorted(p.name for p in out.iterdir()) == [
        "by_layer.csv", "by_layer.png", "cosines.png", "logit_lens.csv", "scores.csv",
        "scores.png", "scores_cloze.parquet", "scores_letter.parquet", "steered.csv",
        "vectors.safetensors",
    ]  # fmt: skip
    assert len(RoleVectors.load(out / "vectors.safetensors").roles) == 29
    assert pd.read_csv(out / "scores.csv")["n"].tolist() == [4] * 6


def test_a_terminal_that_can_not_show_what_the_model_wrote(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert reported(lambda: say("naïve → 日本")) == 0
    assert narrow.buffer.getvalue().decode("cp1252").rstrip() == "naïve \\u2192 \\u65e5\\u672c"


def test_info_of_merged_vectors(workplace, tmp_path, capsys):
    vectors = RoleVectors.load(workplace / "v.safetensors")
    vectors.merge(vectors).merge(vectors).save(tmp_path / "m.safetensors")
    merged = RoleVectors.load(tmp_path / "m.safetensors")
    assert [other["model"] for other in merged.provenance["merged_with"]] == ["model", "model"]
    assert main(["info", "--vectors", f"{tmp_path}/m.safetensors"]) == 0
    assert "fingerprint" not in capsys.readouterr().out
