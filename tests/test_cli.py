import io
import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch
from tiny import CHAT_TEMPLATE, QUIET, ROLES, make_workplace, tiny_bridge, tiny_tokenizer

import role_lens
from role_lens import (
    Question,
    RoleVectors,
    load_model,
    load_prompts,
    load_questions,
    load_roles,
    spread,
)
from role_lens.cli import COMMANDS, main
from role_lens.cli.tour import Material, run_demo
from role_lens.interop import write_task
from role_lens.patches import read_patches
from role_lens.reporting import reported, say

ADDED, ABLATED = "add 1 x poet@1 (base, position -1)", "ablate poet@1 (base, position -1)"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A tiny model folder, role files and fitted vectors."""
    folder = tmp_path_factory.mktemp("cli")
    roles = {"poet": ROLES["poet"], "ship cook": ROLES["cook"]}
    make_workplace(folder, roles)
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


def test_another_tokenizer(workplace, tmp_path, capsys):
    """For a model that was saved without one, or in the place of its own."""
    template = CHAT_TEMPLATE.replace("assistant", "a")
    tiny_tokenizer(template=template).save_pretrained(tmp_path / "other")
    (tmp_path / "bare").mkdir()
    for file in ("config.json", "model.safetensors"):
        shutil.copy(workplace / "model" / file, tmp_path / "bare")
    roles, base = load_roles(workplace / "roles"), load_prompts(workplace / "base.txt")
    fit = ["fit", "--prompts", f"{workplace}/roles", "--base", f"{workplace}/base.txt"]
    fit += ["--out", f"{tmp_path}/v.safetensors"]
    for model in (tmp_path / "bare", workplace / "model"):
        assert main([*fit, "--model", str(model), "--tokenizer", f"{tmp_path}/other"]) == 0
        found = RoleVectors.load(tmp_path / "v.safetensors")
        loaded = load_model(model, tokenizer=tmp_path / "other")
        wanted = RoleVectors.fit(loaded, roles, base, compute=QUIET)
        assert torch.equal(found.role_means, wanted.role_means)
        assert found.provenance == json.loads(json.dumps(wanted.provenance))
        own = RoleVectors.load(workplace / "v.safetensors")
        for key in ("suffix", "chat_template_sha256"):
            assert found.provenance[key] != own.provenance[key]
    capsys.readouterr()
    assert main([*fit, "--model", f"{tmp_path}/bare"]) == 2
    assert "it holds no tokenizer" in capsys.readouterr().err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"role-lens {role_lens.__version__}\n"


def test_commands_are_the_files_of_a_folder(capsys):
    assert set(COMMANDS) == {
        *("answers", "bake", "chat", "compare", "demo", "evaluate", "export", "fit", "gate"),
        *("import", "info", "lm_eval", "monitor", "prompts", "push", "steer", "sweep", "tune"),
    }
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(name.replace("_", "-") in shown for name in COMMANDS)


def test_gate(workplace, tmp_path, capsys):
    """The rest of the prompts show how well the threshold does; the patch is what it was."""
    patch, gated = tmp_path / "poet.safetensors", tmp_path / "gated.safetensors"
    added = patching(workplace, coefficient="50")
    assert main(["export", *added, "--out", str(patch)]) == 0
    for name, texts in (("open", ["Sing it."] * 3), ("shut", ["Boil the egg."] * 2)):
        lines = [f"{text} {number}" for number, text in enumerate(texts)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    common = ["--model", f"{workplace}/model"]
    gate = ["gate", *common, *patching(workplace), "--patch", str(patch), "--out", str(gated)]
    sets = ["--opening", f"{tmp_path}/open.txt", "--closed", f"{tmp_path}/shut.txt"]
    code = main([*gate, *sets])
    if code == 2:  # the two lie the other way round along this random model's direction
        code = main([*gate, "--opening", sets[3], "--closed", sets[1]])
    assert code == 0
    out = capsys.readouterr().out
    assert "Gate(layer 1, position -1, above" in out
    assert re.search(
        r"opens at \d+% of 1 prompts of poet, and by false alarm at \d+% of 1 others", out
    )
    (one,) = read_patches(gated).patches
    assert (one.value, one.gate.layer) == (50.0, 1)
    assert main(["steer", *common, "--prompt", "Hello?", "--patch", str(gated)]) == 0
    assert (
        main([*gate, "--closed", f"{tmp_path}/shut.txt", "--opening", f"{tmp_path}/none.txt"]) == 2
    )


def steer(workplace, *more, **changes):
    arguments = ["steer", "--prompt", "Hello there?", "--model", f"{workplace}/model"]
    return main([*arguments, "--max-new-tokens", "5", *more, *patching(workplace, **changes)])


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ([], ADDED),
        (["--kinds", "add"], ADDED),
        (["--kinds", "add", "--coefficient", "-2.5"], "add -2.5 x poet@1 (base, position -1)"),
        (["--kinds", "ablate", "--contrast", "roles"], "ablate poet@1 (roles, position -1)"),
        (["--kinds", "clamp"], "clamp 1 x poet@1 (base, position -1)"),
        (["--kinds", "cap", "--coefficient", "2"], "cap 2 x poet@1 (base, position -1)"),
        (["--kinds", "cap", "--value", "0.5"], "cap to 0.5 poet@1 (base, position -1)"),
    ],
)
def test_steer_prints_side_by_side(workplace, capsys, monkeypatch, options, title):
    monkeypatch.setenv("COLUMNS", "120")
    assert steer(workplace, *options) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert [part.strip() for part in first.split(" | ")] == ["plain", title]


def test_steer_prints_a_column_for_each_kind(workplace, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert steer(workplace, "--kinds", "add", "ablate") == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert [part.strip() for part in first.split(" | ")] == ["plain", ADDED, ABLATED]
    # In a narrow terminal titles take several lines, and all end on the same one.
    monkeypatch.setenv("COLUMNS", "66")
    assert steer(workplace, "--kinds", "add", "ablate") == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    rule = next(number for number, row in enumerate(rows) if set("".join(row)) == {"-"})
    assert rule == 2
    titles = (" ".join(part.strip() for part in column) for column in zip(*rows[:2], strict=True))
    assert [title.strip() for title in titles] == ["plain", ADDED, ABLATED]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_evaluate_prints_accuracy_beside_chance(workplace, capsys, suffix):
    out = workplace / "tables" / f"t.{suffix}"
    arguments = ["evaluate", "--questions", f"{workplace}/q.jsonl", "--scoring", "cloze"]
    arguments += ["--model", f"{workplace}/model", "--out", str(out), *patching(workplace)]
    arguments += ["--kinds", "add", "ablate"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "accuracy" in printed
    assert "chance" in printed
    table = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert table["patch"].tolist() == [
        "baseline", "baseline", ADDED, ADDED, ABLATED, ABLATED,
    ]  # fmt: skip


def test_sweep_writes_and_prints_the_largest_effects(workplace, capsys):
    out = workplace / "sweep"
    questions = f"{workplace}/many.jsonl"
    arguments = ["sweep", "--questions", questions, "--domain", "food", "--out", str(out)]
    arguments += ["--model", f"{workplace}/model", "--vectors", f"{workplace}/v.safetensors"]
    arguments += ["--roles", "poet", "--layers", "1", "2", "--coefficients", "1", "-1"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "on 40 questions" in printed
    assert "test a choice on other questions" in printed
    effects = pd.read_parquet(out / "effects.parquet")
    assert set(effects["layer"].dropna()) == {1, 2}
    assert main([*arguments, "--scoring", "cloze"]) == 2
    assert "differs in scoring ('letter' there, 'cloze' here)" in capsys.readouterr().err


def test_evaluate_generated_answers(workplace, capsys):
    out = workplace / "generated.csv"
    arguments = ["evaluate", "--scoring", "generate", "--max-new-tokens", "3", "--out", str(out)]
    arguments += ["--model", f"{workplace}/model", *patching(workplace)]
    arguments += ["--kinds", "add", "ablate"]
    assert main([*arguments, "--questions", f"{workplace}/q.jsonl"]) == 0
    assert "unreadable" in capsys.readouterr().out
    assert pd.read_csv(out)["truncated"].tolist() == [True] * 6
    numbers = workplace / "numbers.jsonl"
    numbers.write_text('{"question": "2+2?", "answer": "#### 4"}')
    assert main([*arguments, "--questions", str(numbers), "--numeric"]) == 0
    assert pd.read_csv(out)["answer"].tolist() == [4] * 3


@pytest.mark.long
def test_compare_prints_a_verdict(workplace, capsys):
    questions, out = f"{workplace}/many.jsonl", workplace / "comparison"
    arguments = ["compare", "--questions", questions, "--out", str(out), "--template", "mmlu"]
    arguments += ["--model", f"{workplace}/model", "--vectors", f"{workplace}/v.safetensors"]
    arguments += ["--layers", "1", "--screen", "1", "--positions", "-1", "--max-kl", "None"]
    assert main(arguments) == 2
    refused = capsys.readouterr().err
    assert "role 'poet' has no domain" in refused
    assert "--role-domains 'poet'" in refused
    arguments += ["--role-domains", "poet", "verse", "ship cook", "food"]
    arguments += ["--prompts", f"{workplace}/roles", "--base", f"{workplace}/base.txt"]
    assert main([*arguments, "--judge-all"]) == 0
    printed = capsys.readouterr().out
    assert "All roles together, against their random directions" in printed
    assert "planted" in printed
    table = pd.read_csv(out / "comparison.csv")
    assert table["verdict"].str.contains("random").all()
    assert table["role"].tolist() == ["ship cook", "poet", "poet", "ship cook"]
    assert (out / "comparison.png").exists()


@pytest.mark.long
@pytest.mark.usefixtures("own_tasks_only")
def test_lm_eval_command(workplace, capsys):
    questions = [Question(f"q{i}", f"Which {i}?", ("a", "bc"), i % 2, "s", "d") for i in range(4)]
    write_task(questions, workplace / "tasks", "letters", template="mmlu")
    out = workplace / "lm-eval"
    arguments = ["lm-eval", "--tasks", "letters", "--include-path", f"{workplace}/tasks"]
    arguments += ["--model", f"{workplace}/model", "--out", str(out), *patching(workplace)]
    arguments += ["--kinds", "add", "ablate"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert ADDED in printed
    assert ABLATED in printed
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
        ("steer", {"prompt": " "}, "expected a prompt, got ' '"),
        (
            "steer",
            {"value": "2"},
            "--value is for kinds cap, clamp, floor, rotate, got --kinds add",
        ),
        (
            "steer",
            {"kinds": "ablate", "coefficient": "2"},
            "--coefficient is not for --kinds ablate",
        ),
        (
            "steer",
            {"kinds": "reflect"},
            "unknown kind of patch 'reflect': expected one of ablate, ad",
        ),
        ("steer", {"contrast": "odd"}, "unknown contrast 'odd': the vectors have base, roles"),
        ("steer", {"temperature": "-1"}, "temperature must be 0 or at least 0.001"),
        ("evaluate", {"questions": "nowhere.jsonl"}, "no questions at"),
        ("evaluate", {"out": "table.xls"}, ".csv or .parquet"),
        ("evaluate", {"out": "/proc/none/t.csv"}, "can't write to the output folder"),
        ("fit", {"prompts": "nowhere"}, "no role prompts at"),
        ("fit", {"out": "/proc/none/v.safetensors"}, "can't write to the output folder"),
        ("fit", {"out": "new/v.safetensors", "model": "nobody/none"}, "can't load the model"),
        ("fit", {"out": "roles"}, "it is a folder"),
        ("fit", {"finder": "odds"}, "unknown finder 'odds': expected one of answers"),
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


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("fit", "--prompts nowhere --out w.safetensors", "no role prompts at"),
        ("fit", "--finder odds --out w.safetensors", "unknown finder 'odds'"),
        ("fit", "--out roles", "it is a folder"),
        ("steer", "--prompt Hi --role poett --layer 1", "unknown role 'poett'"),
        ("steer", "--prompt Hi --role poet --layer 0", "the direction is zero"),
        ("steer", "--prompt Hi --role poet --layer 1 --kinds reflect", "unknown kind of patch"),
        (
            "steer",
            "--prompt Hi --role poet --layer 1 --value 2",
            "--value is for kinds cap, clamp, floor, rotate",
        ),
        (
            "steer",
            "--prompt Hi --role poet --layer 1 --kinds add add",
            "--kinds needs at least one kind, each named once; got ['add', 'add']",
        ),
        ("evaluate", "--role poet --layer 7", "layer 7 is out of range"),
        ("evaluate", "--role poet --layer 1 --questions none", "no questions at none: expected on"),
        ("evaluate", "--role poet --layer 1 --out t.xls", ".csv or .parquet"),
        ("evaluate", "--role poet --layer 1 --numeric", "are for --scoring generate"),
        (
            "sweep",
            "--layers 1 7 --out s",
            "layer 7 is out of range: the vectors have layers 0 to 2",
        ),
        ("sweep", "--roles baker --out s", "unknown role 'baker'"),
        ("sweep", "--contrasts odd --out s", "unknown contrast 'odd'"),
        ("sweep", "--kinds reflect --out s", "unknown kind of patch 'reflect': expected one of"),
        ("sweep", "--layers 0 --out s", "or all its directions are zero, as at layer 0 of most"),
        ("sweep", "--scoring generate --out s", "'generate' is for evaluate only; sweeps and"),
        ("sweep", "--questions builtin --domain odd --out s", "unknown domain 'odd'"),
        ("compare", "--out s", "role 'poet' has no domain"),
        ("compare", "--scoring generate --out s", "comparisons take cloze or letter"),
        ("compare", "--roles baker --out s", "unknown role 'baker'"),
        ("compare", "--role-domains poet d --out s", "role 'ship cook' has no domain"),
        ("compare", "--role-domains poet q --roles poet --out s", "at least 20 are needed"),
        (
            "compare",
            "--questions many.jsonl --role-domains poet verse --roles poet --layers 9 --out s",
            "layer 9 is out of range",
        ),
        (
            "compare",
            "--questions many.jsonl --role-domains poet verse --max-off-domain 3 --out s",
            "max_off_domain",
        ),
        ("compare", "--n-random 3 --out s", "n_random must be at least 20, got 3"),
        ("lm-eval", "--role poet --layer 7 --tasks t --out s", "layer 7 is out of range"),
    ],
)
def test_what_needs_no_model_is_said_before_one_is_loaded(
    workplace, capsys, monkeypatch, command, options, message
):
    """The name of the model can't be found either, but that would only be known by loading it."""
    monkeypatch.chdir(workplace)
    arguments = [command, "--model", "nobody/none", *options.split()]
    if command == "fit":
        arguments += [] if "--prompts" in options else ["--prompts", "roles"]
        arguments += ["--base", "base.txt"]
    else:
        arguments += ["--vectors", "v.safetensors"]
    if command in ("sweep", "compare") and "--questions" not in options:
        arguments += ["--questions", "q.jsonl"]
    before = sorted(workplace.rglob("*"))
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("role-lens: ")
    assert message in captured.err
    assert "nobody/none" not in captured.err
    assert sorted(workplace.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--role", "poet", "--layer", "1", "--scoring", "odds"],
        ["compare", "--out", "s", "--screen", "0"],
    ],
)
def test_refused_options_are_one_line_whatever_record_they_are_of(capsys, arguments):
    try:
        code = main([*arguments, "--vectors", "v.safetensors"])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("role-lens: ")


def test_unknown_command_exits_with_2():
    with pytest.raises(SystemExit) as stop:
        main(["dance"])
    assert stop.value.code == 2


def test_interruption(monkeypatch, capsys):
    class Interrupted(io.StringIO):
        def write(self, text):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Interrupted())
        assert main(["--version"]) == 130
    assert capsys.readouterr().err == "role-lens: interrupted\n"


def test_warnings_come_without_the_place_in_the_source():
    """In a process of its own, since pytest takes warnings before they are printed."""
    script = (
        "import sys, warnings; from role_lens.reporting import reported\n"
        "sys.exit(reported(lambda: warnings.warn('too few\u2026', stacklevel=2)))"
    )
    command = [sys.executable, "-X", "utf8", "-c", script]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stderr == "role-lens: warning: too few…\n"


@pytest.fixture(scope="module")
def material():
    """Little of what is built in."""
    roles = {role: spread(prompts, 2) for role, prompts in load_roles("builtin").items()}
    questions = load_questions("builtin", domain="econ")[:4]
    return Material(roles, spread(load_prompts("builtin"), 8), questions)


def check_demo(folder, said):
    assert sorted(p.name for p in folder.iterdir()) == [
        "by_layer.csv", "by_layer.png", "cosines.png", "logit_lens.csv", "scores.csv",
        "scores.png", "scores_cloze.parquet", "scores_letter.parquet", "steered.csv",
        "vectors.safetensors",
    ]  # fmt: skip
    assert len(RoleVectors.load(folder / "vectors.safetensors").roles) == 29
    scores = pd.read_csv(folder / "scores.csv")
    assert scores["n"].tolist() == [4] * 6
    assert scores["patch"].tolist() == ["baseline", "add economist", "ablate economist"] * 2
    assert pd.read_csv(folder / "steered.csv")["role"].tolist() == [
        "plain", "lawyer", "nurse", "sheriff",
    ]  # fmt: skip
    steps = [re.match(r"\s*(\d)\. [A-Z]", text) for text in said]
    assert [step[1] for step in steps if step] == ["1", "2", "3", "4", "5"]


def test_demo(material, tmp_path):
    """The whole tour, on few prompts and questions, and a tiny model."""
    said = []
    model = tiny_bridge("llama", max_position_embeddings=1024)
    assert run_demo(model, material, tmp_path / "demo", said.append) == tmp_path / "demo"
    check_demo(tmp_path / "demo", said)


@pytest.mark.long
@pytest.mark.packaged
def test_demo_of_the_packaged_model(packaged, material, tmp_path):
    said = []
    run_demo(packaged, material, tmp_path, said.append)
    check_demo(tmp_path, said)


def test_a_terminal_that_can_not_show_what_the_model_wrote(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert reported(lambda: say("naïve → 日本")) == 0
    assert narrow.buffer.getvalue().decode("cp1252").rstrip() == "naïve \\u2192 \\u65e5\\u672c"


def test_info_of_merged_vectors(workplace, tmp_path, capsys):
    vectors = RoleVectors.load(workplace / "v.safetensors")
    twice = vectors.merge(vectors)
    vectors.merge(vectors).merge(twice).save(tmp_path / "m.safetensors")
    merged = RoleVectors.load(tmp_path / "m.safetensors")
    assert [other["model"] for other in merged.provenance["merged_with"]] == ["model", "model"]
    assert main(["info", "--vectors", f"{tmp_path}/m.safetensors"]) == 0
    assert "fingerprint" not in capsys.readouterr().out
