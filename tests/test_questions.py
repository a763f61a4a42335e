import json

import pytest

from role_lens import Question, RoleLensError, load_questions
from role_lens.questions.domains import MMLU_DOMAINS
from role_lens.questions.question import question_text

ROW = {"question": "Two and two?", "choices": ["3", "4"], "answer": 1}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_jsonl(tmp_path):
    path = write(tmp_path / "sums.jsonl", ROW, {**ROW, "id": "x", "domain": "d", "subject": "s"})
    first, second = load_questions(path)
    assert first == Question("sums:1", "Two and two?", ("3", "4"), 1, "sums", "sums")
    assert (second.id, second.domain, second.subject) == ("x", "d", "s")
    assert load_questions(tmp_path) == [first, second]
    path = write(tmp_path / "sums.jsonl", {**ROW, "id": None, "domain": None, "subject": None})
    assert load_questions(path) == [first]
    write(path, ROW, {**ROW, "id": "x", "domain": "d", "subject": "s"})
    assert load_questions(path, domain="d") == [second]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choices": ["4"]}, r"line 2: .*expected at least 2 choices, got 1"),
        ({"choices": "4"}, "expected a list of strings"),
        ({"choices": ["4", " "]}, "a choice is empty"),
        ({"answer": 2}, r"line 2: .*answer 2 is outside the choices, 0 to 1"),
        ({"answer": -1}, "outside the choices"),
        ({"answer": "B"}, "expected an index from 0 .* got 'B'"),
        ({"answer": True}, "expected an index from 0"),
        ({"question": ""}, "the text is empty"),
        ({"question": 3}, "expected a string in the field 'question', got 3"),
        ({"choices": [3, 4]}, "expected a list of strings"),
    ],
)
def test_bad_rows(tmp_path, change, message):
    path = write(tmp_path / "q.jsonl", ROW, {**ROW, **change})
    with pytest.raises(RoleLensError, match=message):
        load_questions(path)


def test_nothing_there(tmp_path):
    with pytest.raises(RoleLensError, match="no questions at"):
        load_questions(tmp_path / "x.jsonl")
    with pytest.raises(RoleLensError, match="holds no questions"):
        load_questions(write(tmp_path / "empty.jsonl"))
    with pytest.raises(RoleLensError, match="unknown domain 'economy': nearest are econ"):
        load_questions("builtin", domain="economy")
    with pytest.raises(RoleLensError, match="unknown subject 'x'"):
        load_questions("builtin", subject="x")


def test_templates():
    question = load_questions("builtin", domain="math")[0]
    paper = question_text(question, "paper")
    a, b, c, d = question.choices
    assert paper == (
        f"{question.question}\n\t\t\tA. {a}\n\t\t\tB. {b}\n\t\t\tC. {c}\n\t\t\tD. {d}"
        "\n\t\t\tAnswer with the letter of the correct answer.\n\t\t\tAnswer:"
    )
    assert question_text(question, "mmlu") == (
        f"{question.question}\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer:"
    )


def test_mmlu_without_a_network():
    with pytest.raises(RoleLensError, match="can't load MMLU"):
        load_questions("mmlu")


def test_mmlu_rows(monkeypatch):
    rows = [{**ROW, "subject": "econometrics"}, {**ROW, "subject": "anatomy"}]
    monkeypatch.setattr("datasets.load_dataset", lambda *a, split: rows)
    first, second = load_questions("mmlu", split="validation")
    assert (first.id, first.domain) == ("mmlu:validation:0", "econ")
    assert second.domain == "anatomy"


def test_domains_are_those_of_the_reference(reference):
    for domain, subjects in MMLU_DOMAINS.items():
        rows = load_questions(reference / "mmlu_domains" / f"{domain}.jsonl")
        assert {q.subject for q in rows} == set(subjects)
