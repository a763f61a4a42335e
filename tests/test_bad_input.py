"""Several hundred inputs that can't be used, through every command and through public functions:
one line and exit code 2, or a `RoleLensError`; no traceback, and nothing half written."""

import os
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import BASE, QUIET, ROLES, make_workplace

import role_lens as rl
from role_lens import Asking, Compute, Exam, Grid, Patch, Question, RoleLensError, RoleVectors
from role_lens.cli import main
from role_lens.interop import write_task

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("own_tasks_only")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what commands take, and with broken files beside it."""
    folder = tmp_path_factory.mktemp("bad")
    make_workplace(folder)
    (folder / "many.jsonl").rename(folder / "q.jsonl")
    (folder / "empty").mkdir()
    (folder / "empty.jsonl").write_text("")
    (folder / "broken.jsonl").write_text('{"question": "Q?", "choices": ["a"')
    (folder / "binary.jsonl").write_bytes(bytes(range(256)))
    (folder / "text.txt").write_text("Hello.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fit = "fit --model model --prompts roles --base base.txt --out v.st"
        assert main(shlex.split(fit)) == 0
    write_task(rl.load_questions(folder / "q.jsonl"), folder / "tasks", "letters")
    (folder / "cut.st").write_bytes((folder / "v.st").read_bytes()[:1000])
    return folder


# What each option is given that it can't use.
NO_FILE = ["", "nothing.x", "empty", "empty.jsonl", "broken.jsonl", "binary.jsonl", "a\x00b"]
BAD = {
    "--vectors": [*NO_FILE, "text.txt", "cut.st", "model", os.devnull, "~nobody/v.st"],
    "--role": ["", "nobody", "poet\x00", "🙂" * 50],
    "--roles": ["nobody", "poet cook nobody"],
    "--layer": ["", "x", "-1", "99", "1.5", "nan", "1e9"],
    "--layers": ["x", "-1", "99"],
    "--position": ["0", "99", "-99", "x", ""],
    "--positions": ["0", "-99", "x"],
    "--coefficient": ["", "x", "nan", "inf", "1e400"],
    "--coefficients": ["x", "nan"],
    "--contrast": ["", "nothing"],
    "--contrasts": ["nothing"],
    "--kinds": ["reflect", "add add"],
    "--value": ["1", "nan", "x"],
    "--tokens": ["", "some", "prompt[", "answer[-1:]", "prompt[1]", "prompt[a:b]"],
    "--model": ["", "nothing", "./nothing", "empty", "text.txt", os.devnull, "~nobody/m", "a b/c"],
    "--device": ["gpu", "cuda:99", ""],
    "--dtype": ["int8", "", "float"],
    "--chat-template-kwargs": ["x", "nothing 1", "tokenize true", "role x", "if 1"],
    "--tokenizer": ["", "nothing", "./nothing", "empty", "text.txt", "~nobody/m", "a b/c"],
    "--prompt": ["", " "],
    "--max-new-tokens": ["0", "-1", "x", "100000"],
    "--temperature": ["-1", "nan", "0.0001", "inf", "x"],
    "--prompts": [*NO_FILE, "roles roles"],
    "--base": [*NO_FILE, "roles"],
    "--finder": ["", "nothing", "_fit"],
    "--questions": [*NO_FILE, "roles", "v.st"],
    "--validation": [*NO_FILE, "v.st"],
    "--examples": [*NO_FILE, "q.jsonl"],
    "--domain": ["", "nowhere"],
    "--scoring": ["", "odds", "generate"],
    "--template": ["exam", ""],
    "--role-domains": ["poet", "poet nowhere"],
    "--screen": ["0", "-1", "x"],
    "--max-kl": ["x"],
    "--leave-out-last": ["1", "-0.1", "x"],
    "--objective": ["luck"],
    "--n-random": ["0", "19", "x"],
    "--n-shuffled": ["-1", "x"],
    "--max-questions": ["1", "x"],
    "--permutations": ["0", "x"],
    "--seed": ["-1", "x"],
    "--tasks": ["no_such_task", ""],
    "--limit": ["-1", "0", "x"],
    "--num-fewshot": ["-1", "x"],
    "--batch-size": ["0", "x"],
    "--no-such-option": ["1"],
}
OUT = ["", "text.txt/x", "/proc/nothing/x", os.devnull + "/x", "a\x00b"]
STEERED = "--vectors v.st --role poet --layer 1 --model model"
COMMANDS = {
    "fit": ("fit --model model --prompts roles --base base.txt --out new.st", OUT),
    "info": ("info --vectors v.st", []),
    "steer": (f"steer --prompt Hi --max-new-tokens 2 {STEERED}", []),
    "evaluate": (f"evaluate {STEERED} --questions q.jsonl --out new.csv", [*OUT, "new.xlsx"]),
    "sweep": (
        "sweep --vectors v.st --model model --questions q.jsonl --out new",
        [*OUT, "q.jsonl"],
    ),
    "compare": (
        "compare --vectors v.st --model model --questions q.jsonl --role-domains poet verse "
        "--max-off-domain 0 --out new",
        [*OUT, "q.jsonl"],
    ),
    "lm-eval": (
        f"lm-eval --tasks letters --include-path tasks {STEERED} --out new",
        [*OUT, "q.jsonl"],
    ),
    "demo": ("demo --out new", OUT[1:]),
}
# Options that a command has, beside those of its valid call.
MORE = {
    "fit": ["--device", "--dtype", "--tokenizer", "--chat-template-kwargs", "--finder"],
    "steer": [
        *("--position", "--coefficient", "--contrast", "--kinds", "--value", "--tokens"),
        *("--device", "--dtype", "--chat-template-kwargs", "--temperature"),
    ],
    "evaluate": [
        *("--position", "--coefficient", "--contrast", "--kinds", "--value", "--tokens"),
        *("--domain", "--scoring", "--template", "--examples", "--dtype"),
    ],
    "sweep": [
        *("--roles", "--layers", "--positions", "--contrasts", "--kinds", "--coefficients"),
        *("--domain", "--scoring", "--screen", "--examples"),
    ],
    "compare": [
        *("--roles", "--layers", "--positions", "--contrasts", "--coefficients", "--validation"),
        *("--scoring", "--screen", "--leave-out-last", "--max-kl", "--objective", "--n-random"),
        *("--n-shuffled", "--max-questions", "--permutations", "--seed", "--domain", "--prompts"),
    ],
    "lm-eval": [
        *("--coefficient", "--kinds", "--tokens", "--limit", "--num-fewshot", "--batch-size"),
    ],
}
# What is no mistake there.
FINE = {
    ("evaluate", "--scoring", "generate"),
    ("evaluate", "--template", ""),
    ("sweep", "--out", ""),  # the folder at hand
    ("lm-eval", "--out", ""),
    ("sweep", "--kinds", "add add"),
}


def cases():
    for command, (valid, outs) in COMMANDS.items():
        words = valid.split()
        named = [word for word in words if word.startswith("--")]
        for option in (*named, *MORE.get(command, ()), "--no-such-option"):
            for value in outs if option == "--out" else BAD.get(option, []):
                if (command, option, value) not in FINE:
                    yield command, option, value


CASES = list(cases())


def replaced(words, option, value):
    """The words of a call with another value of an option, or with one more option."""
    whole = option in ("--prompt", "--model", "--tokenizer")
    values = [value] if whole else value.split(" ")
    if option not in words:
        return [*words, option, *values]
    at = words.index(option)
    end = next((i for i in range(at + 1, len(words)) if words[i].startswith("--")), len(words))
    return [*words[: at + 1], *values, *words[end:]]


def test_there_are_many():
    assert len(CASES) >= 300


@pytest.mark.parametrize(
    ("command", "option", "value"),
    CASES,
    ids=[f"{command}{option}-{number}" for number, (command, option, _) in enumerate(CASES)],
)
def test_commands_refuse_in_one_line(place, monkeypatch, capsys, command, option, value):
    monkeypatch.chdir(place)
    before = sorted(Path().rglob("*"))
    parsed = True
    try:
        code = main(replaced(COMMANDS[command][0].split(), option, value))
    except SystemExit as stop:  # of the parser, which draws a box around its message
        code, parsed = stop.code, False
    said = capsys.readouterr().err
    assert code == 2, said
    assert "Traceback" not in said
    if parsed:
        assert said.splitlines()[-1].startswith("role-lens: "), said
    assert sorted(Path().rglob("*")) == before


JUNK = {
    "None": None,
    "text": "x",
    "empty": "",
    "bytes": b"x",
    "minus": -1,
    "half": 0.5,
    "nan": float("nan"),
    "list": [],
    "of None": [None],
    "dict": {},
    "array": np.ones((2, 2)),
    "table": pd.DataFrame({"a": [1, 2]}),
    "tensor": torch.ones(2, 2),
    "path": Path("nothing"),
    "type": int,
    "object": object(),
}


@pytest.fixture(scope="module")
def calls(llama, vectors, tmp_path_factory):
    """Calls that work, as a function and its arguments."""
    folder = tmp_path_factory.mktemp("junk")
    questions = [
        Question(f"q{n}", f"What is {n}?", ("red", "blue"), n % 2, "s", "verse") for n in range(44)
    ]
    patch = vectors.add("poet", layer=1)
    few = questions[:3]
    table = rl.evaluate(llama, few, {"b": None, "p": patch}, compute=QUIET)
    return {
        "fit": (RoleVectors.fit, {"model": llama, "roles": ROLES, "base": BASE, "positions": [-1],
                                  "system": None, "finder": "means"}),
        "evaluate": (rl.evaluate, {"model": llama, "questions": few, "patches": {"b": None}}),
        "attribute": (rl.attribute, {"model": llama, "vectors": vectors, "questions": few}),
        "generate": (rl.generate, {"model": llama, "prompts": "Hi", "patch": patch,
                                   "max_new_tokens": 1, "system": "S"}),
        "sweep": (rl.sweep, {"model": llama, "vectors": vectors, "questions": few,
                             "out": folder / "sweep"}),
        "summarize": (rl.summarize, {"table": table}),
        "encode_chat": (rl.encode_chat, {"model": llama, "prompts": BASE, "system": "S"}),
        "chat_text": (rl.chat_text, {"model": llama, "prompt": "Hi", "system": "S"}),
        "load_model": (rl.load_model, {"name": llama, "device": None, "dtype": None}),
        "load_questions": (rl.load_questions, {"source": "builtin", "domain": "econ"}),
        "load_roles": (lambda source: rl.load_roles(source), {"source": "builtin"}),
        "load_prompts": (rl.load_prompts, {"source": "builtin"}),
        "persona_prompts": (rl.persona_prompts, {"role": "poet"}),
        "spread": (rl.spread, {"prompts": BASE, "n": 2}),
        "Patch.add": (Patch.add, {"direction": torch.ones(32), "layer": 1, "coefficient": 1.0,
                                  "tokens": "all"}),
        "Patch.clamp": (Patch.clamp, {"direction": torch.ones(32), "layer": 1, "value": 1.0}),
        "Patch.ablate": (Patch.ablate, {"direction": torch.ones(32), "tokens": "all"}),
        "vectors.add": (vectors.add, {"role": "poet", "layer": 1, "position": -1,
                                      "coefficient": 1.0, "contrast": "base", "tokens": "all"}),
        "vectors.direction": (vectors.direction, {"role": "poet", "layer": 1, "position": -1,
                                                  "contrast": "base"}),
        "vectors.load": (RoleVectors.load, {"path": "nothing"}),
        "Question": (Question, {"id": "q", "question": "Q?", "choices": ("a", "b"), "answer": 0,
                                "subject": "s", "domain": "d"}),
        "Grid": (Grid, {"roles": ("poet",), "layers": (1,), "positions": (-1,),
                        "contrasts": ("base",), "kinds": ("add",), "coefficients": (1.0,)}),
        "Asking": (Asking, {"scoring": "letter", "template": "paper", "system": None,
                            "examples": ()}),
        "Compute": (Compute, {"max_tokens": None}),
        "Exam": (Exam, {"questions": questions, "validation": None, "domains": {}}),
    }  # fmt: skip


FUNCTIONS = [
    *("fit", "evaluate", "attribute", "generate", "sweep", "summarize", "encode_chat", "chat_text"),
    *("load_model", "load_questions", "load_roles", "load_prompts", "persona_prompts", "spread"),
    *("Patch.add", "Patch.clamp", "Patch.ablate", "vectors.add", "vectors.direction"),
    *("vectors.load", "Question", "Grid", "Asking", "Compute", "Exam"),
]


def test_every_call_is_tried(calls):
    assert set(FUNCTIONS) == set(calls)
    assert all(arguments for _, arguments in calls.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_it_or_refuse_in_one_line(
    as_users_have_it, calls, name, tmp_path, monkeypatch
):
    """Each argument in turn is something that it can't be, or hardly."""
    monkeypatch.chdir(tmp_path)  # "x" may be a folder to write to
    function, arguments = calls[name]
    failed = []
    for argument in arguments:
        for junk, value in JUNK.items():
            try:
                function(**{**arguments, argument: value})
            except RoleLensError as error:
                if "\n" in str(error):
                    failed.append(f"{argument}={junk}: several lines: {error}")
            except Exception as error:
                failed.append(f"{argument}={junk}: {type(error).__name__}: {str(error)[:80]}")
    assert not failed, "\n".join(failed)
