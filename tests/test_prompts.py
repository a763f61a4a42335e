import codecs
import json
import unicodedata

import datasets
import numpy as np
import pandas as pd
import pytest

from role_lens import RoleLensError, load_prompts, load_roles, spread
from role_lens.prompts import prompt_list, role_name, split
from role_lens.questions import home_domains


def test_folder_of_files(tmp_path):
    (tmp_path / "data_poet.jsonl").write_text('{"instruction": "Rhyme?"}\n\n{"instruction": "A"}\n')
    (tmp_path / "cook.txt").write_text("Salt?\n  \nPepper?\n")
    assert load_roles(tmp_path) == {"cook": ["Salt?", "Pepper?"], "data poet": ["Rhyme?", "A"]}
    assert load_roles(tmp_path / "cook.txt") == {"cook": ["Salt?", "Pepper?"]}


def test_line_separator_inside_a_string_does_not_cut_a_record(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "one\u2028two"}\n', encoding="utf-8")
    assert load_prompts(path) == ["one\u2028two"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"instruction": "ok"}\n{"instruction": \n', r"a\.jsonl, line 2: not valid JSON"),
        ('{"instruction": "ok"}\n["x"]\n', r"a\.jsonl, line 2: expected a JSON object, got list"),
        ('{"task": "x"}\n', r"line 1: expected a non-empty string in the field 'instruction', or"),
        ('{"prompt": 3}\n', r"line 1: expected a non-empty string in the field 'prompt', got 3"),
        (
            '{"prompt": "x"}\n{"prompt": " "}\n',
            "line 2: expected .* in the field 'prompt', got ' '",
        ),
        ('{"prompt": "x", "Prompt": "y"}\n', "line 1: several fields have the name 'prompt'"),
        ('{"prompt": "x"}\n{"task": "x"}\n', "line 2: expected a non-empty string"),
        ('{"instruction": "  "}\n', r"line 1: expected a non-empty string"),
        ('{"instruction": "a\\ud800b"}\n', "line 1: not valid JSON .*surrogates"),
        ("\n", "holds no prompts"),
    ],
)
def test_malformed_files(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(RoleLensError, match=message):
        load_prompts(tmp_path / "a.jsonl")


def test_not_utf8(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"instruction": "\xff"}\n')
    with pytest.raises(RoleLensError, match=r"line 1: not UTF-8 text .* save the file as UTF-8"):
        load_prompts(tmp_path / "a.jsonl")
    (tmp_path / "a.txt").write_bytes(b"\xff\n")
    with pytest.raises(RoleLensError, match="not UTF-8"):
        load_prompts(tmp_path / "a.txt")


def test_nothing_there(tmp_path):
    with pytest.raises(RoleLensError, match="no role prompts at"):
        load_roles(tmp_path / "nowhere")
    with pytest.raises(RoleLensError, match="holds no <role>"):
        load_roles(tmp_path)
    with pytest.raises(RoleLensError, match="can't find ~nobody-of-that-name"):
        load_prompts("~nobody-of-that-name/x.txt")
    with pytest.raises(RoleLensError, match="no prompts at"):
        load_prompts(tmp_path)


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize("source", [np.array(["a", "b"]), pd.Series(["a", "b"]), ["a"], None, 3])
def test_what_is_no_source(source):
    for load in (load_roles, load_prompts):
        with pytest.raises(RoleLensError, match="expected a path, got") as raised:
            load(source)
        assert "\n" not in str(raised.value)


def test_two_files_for_one_role(tmp_path):
    for name in ("web_developer.txt", "Web developer.txt"):
        (tmp_path / name).write_text("x\n")
    with pytest.raises(RoleLensError, match="second file for the role 'web developer'"):
        load_roles(tmp_path)


def test_several_sources(tmp_path):
    (tmp_path / "beekeeper.txt").write_text("Hives?\n")
    both = load_roles("builtin", tmp_path)
    assert both == {**load_roles(), "beekeeper": ["Hives?"]}
    (tmp_path / "nurse.txt").write_text("Pulse?\n")
    with pytest.raises(RoleLensError, match=r"nurse\.txt is a second file for the role 'nurse'"):
        load_roles("builtin", tmp_path)


def test_byte_order_marks_are_no_text(tmp_path):
    (tmp_path / "a.txt").write_text("Hives?\r\nHoney?\r\n", "utf-8-sig")
    (tmp_path / "a.jsonl").write_text('{"instruction": "Hives?"}\r\n', "utf-8-sig")
    assert load_prompts(tmp_path / "a.txt") == ["Hives?", "Honey?"]
    assert load_prompts(tmp_path / "a.jsonl") == ["Hives?"]


TWO = ["Hives?", "Ho\u2028ney, or not?"]
ROWS = [{"instruction": one} for one in TWO]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bee.txt", "\n".join(TWO)),
        ("bee.TXT", "\r\n".join(TWO)),
        ("bee.txt", "\r".join(TWO)),
        ("bee.txt", "\r\n".join(TWO).encode("utf-16")),
        ("bee.txt", codecs.BOM_UTF16_BE + "\r\n".join(TWO).encode("utf-16-be")),
        ("bee.txt", "\r\n".join(TWO).encode("utf-8-sig")),
        ("bee.jsonl", LINES.replace("\n", "\r\n").encode("utf-16")),
        ("bee.jsonl", LINES.replace("\n", "\r")),
        ("bee.jsonl", "".join(json.dumps(one) + "\n" for one in TWO)),
        ("bee.json", json.dumps(TWO)),
        ("bee.json", json.dumps({"prompts": TWO})),
        ("bee.json", json.dumps(ROWS, indent=1)),
        ("bee.json", json.dumps({"instruction": TWO})),
        ("bee.json", LINES.replace("instruction", "prompt")),
        ("bee.json", LINES.replace("instruction", "text")),
        ("bee.json", LINES.replace("instruction", "question")),
        ("bee.json", json.dumps([{**row, "prompt": "no"} for row in ROWS])),
        ("bee.json", json.dumps([{"instruction": None, "prompt": one} for one in TWO])),
        ("bee.csv", f'instruction,Text\n,{TWO[0]}\n" ","{TWO[1]}"\n'),
        ("bee.csv", pd.DataFrame(ROWS).to_csv()),
        ("bee.csv", pd.DataFrame(ROWS).to_csv(index=False, sep=";").encode("utf-16")),
        ("bee.csv", f'Prompt,role\n{TWO[0]},bee\n"{TWO[1]}",bee\n'),
        ("bee.csv", f"prompt\n{TWO[0]}\n{TWO[1]}\n"),
        ("bee.tsv", f"instruction\n{TWO[0]}\n{TWO[1]}\n"),
        ("bee.parquet", ROWS),
    ],
)
def test_kinds_of_files(tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, list):
        pd.DataFrame(content).to_parquet(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert load_prompts(path) == TWO
    assert load_roles(path) == load_roles(tmp_path) == {"bee": TWO}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "bee.csv",
            "task\nHives?\n",
            r"bee\.csv, line 1: expected a non-empty string in the field",
        ),
        (
            "bee.csv",
            "prompt,n\nHives?,1\nBees, or wasps?,2\n",
            r"line 3: expected 2 cells .*, got 3",
        ),
        ("bee.csv", "prompt,n\nHives?,1\n,2\n", r"bee\.csv, line 3: expected a non-empty string"),
        ("bee.json", "[1, 2]", r"row 1: expected a non-empty string .* got 1"),
        ("bee.json", '["Hives?", 2]', r"row 2: expected a JSON object, got int"),
        (
            "bee.json",
            '{"nurse": ["a"], "poet": ["b"]}',
            r"line 1: .* in prompt, text or question; got {'nurse': \['a'\], 'poet': \['b'\]}",
        ),
        ("bee.json", '{"nurse": ["a"]}', r"in prompt, text or question; got {'nurse': \['a'\]}"),
        (
            "bee.json",
            json.dumps({"train": ROWS, "test": ROWS}),
            r"several lists \(train, test\): write each",
        ),
        ("bee.json", "[]", "holds no prompts"),
        (
            "bee.txt",
            "Hives?".encode("utf-16-le"),
            "is no text, or UTF-16 without a byte order mark",
        ),
        ("bee.parquet", b"PAR1", "can't read .* as parquet"),
    ],
)
def test_kinds_of_files_that_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for load in (load_prompts, load_roles):
        with pytest.raises(RoleLensError, match=message):
            load(path)


def test_hidden_files_are_no_roles(tmp_path):
    (tmp_path / "nurse.txt").write_text("Pulse?\n")
    for name in ("._nurse.txt", ".nurse.txt.swp", "nurse.txt~", "nurse~.txt", "~$nurse.csv"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07\xb0")
    (tmp_path / ".#nurse.txt").symlink_to("user@host.1")  # as Emacs locks a file
    (tmp_path / "old.txt").mkdir()
    assert load_roles(tmp_path) == {"nurse": ["Pulse?"]}
    (tmp_path / "poet.txt").symlink_to("gone.txt")
    with pytest.raises(RoleLensError, match=r"can't read .*poet\.txt: No such file"):
        load_roles(tmp_path)


def test_what_holds_no_prompts_is_left_out_and_named(tmp_path):
    (tmp_path / "nurse.txt").write_text("Pulse?\n")
    (tmp_path / "index.json").write_text('{"medicine": ["nurse"], "verse": ["poet"]}')
    with pytest.warns(UserWarning, match=r"left out: .*index\.json, line 1: expected"):
        assert load_roles(tmp_path) == {"nurse": ["Pulse?"]}
    (tmp_path / "poet.jsonl").write_text('{"rhyme": "x"}')
    with pytest.raises(RoleLensError, match=r"poet\.jsonl, line 1: expected a non-empty string"):
        load_roles(tmp_path)


def test_role_names_in_any_form_of_unicode(tmp_path):
    """macOS writes an accent in the name of a file as a letter of its own."""
    parts = unicodedata.normalize("NFD", "médecin")
    (tmp_path / f"{parts}.txt").write_text("Ça va?\n", "utf-8")
    assert load_roles(tmp_path) == {"médecin": ["Ça va?"]}
    assert role_name(parts.upper()) == role_name("Médecin")
    assert home_domains({parts: "soins"})["médecin"] == "soins"
    (tmp_path / "médecin.txt").write_text("Ça va?\n", "utf-8")
    with pytest.raises(RoleLensError, match="is a second file for the role 'médecin'"):
        load_roles(tmp_path)


@pytest.mark.parametrize(
    "prompts",
    [
        ["a", "b"],
        ("a", "b"),
        pd.Series(["a", "b"], index=[3, 3]),
        pd.Series(["a", "b"], dtype="string"),
        np.array(["a", "b"]),
        (one for one in "ab"),
        {"a": 1, "b": 2}.keys(),
        datasets.Dataset.from_dict({"text": ["a", "b"]})["text"],
    ],
)
def test_lists_of_prompts(prompts):
    found = prompt_list(prompts)
    assert found == ["a", "b"]
    assert {type(one) for one in found} == {str}


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("a", "expected a list of cues, got str: 'a'"),
        (np.array("a"), "expected a list of cues, got ndarray: array"),
        (b"a", "expected a list of cues, got bytes"),
        ({"a": 1}, "expected a list of cues, got dict: {'a': 1}"),
        ({"a"}, "expected a list of cues, got set: {'a'}"),
        (pd.DataFrame({"a": ["b", "c"]}), "expected a list of cues, got DataFrame: a 0 b 1 c"),
        (None, "expected a list of cues, got NoneType: None"),
        (3, "expected a list of cues, got int: 3"),
        ([], "expected at least one of the cues, got an empty list"),
        (pd.Series([], dtype=str), "expected at least one of the cues"),
        (["a", None], "cues: number 1 is not a string: None"),
        (pd.Series(["a", np.nan]), "cues: number 1 is not a string: nan"),
        (np.array([["a"], ["b"]]), r"cues: number 0 is not a string: array\(\['a'\]"),
        ([1, 2], "cues: number 0 is not a string: 1"),
        ([["a"]], r"cues: number 0 is not a string: \['a'\]"),
    ],
)
def test_what_is_no_list_of_prompts(prompts, message):
    with pytest.raises(RoleLensError, match=message) as raised:
        prompt_list(prompts, "cues")
    assert "\n" not in str(raised.value)


def test_spread():
    prompts = [str(i) for i in range(10)]
    assert spread(prompts, 3) == ["0", "3", "6"]
    assert spread(prompts, 1) == ["0"]
    assert spread(prompts, 12) == prompts
    assert spread(pd.Series(prompts, index=[3] * 10), 3) == ["0", "3", "6"]
    with pytest.raises(RoleLensError, match="n must be at least 1, got 0"):
        spread(prompts, 0)


def test_split():
    prompts = [str(i) for i in range(10)]
    first, second = split(prompts, 0.3, seed=1)
    assert (len(first), len(second)) == (3, 7)
    assert sorted(first + second) == prompts
    assert split(prompts, 0.3, seed=1) == (first, second)
    assert split(prompts, 0.3, seed=2) != (first, second)
