import pytest

from role_lens import RoleLensError, load_prompts, load_roles, spread
from role_lens.prompts import split


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
        ('{"prompt": "x"}\n', r"line 1: expected a non-empty string in the field 'instruction'"),
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
    with pytest.raises(RoleLensError, match="line 1: not valid JSON"):
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


def test_spread():
    prompts = [str(i) for i in range(10)]
    assert spread(prompts, 3) == ["0", "3", "6"]
    assert spread(prompts, 1) == ["0"]
    assert spread(prompts, 12) == prompts
    with pytest.raises(RoleLensError, match="n must be at least 1, got 0"):
        spread(prompts, 0)


def test_split():
    prompts = [str(i) for i in range(10)]
    first, second = split(prompts, 0.3, seed=1)
    assert (len(first), len(second)) == (3, 7)
    assert sorted(first + second) == prompts
    assert split(prompts, 0.3, seed=1) == (first, second)
    assert split(prompts, 0.3, seed=2) != (first, second)
