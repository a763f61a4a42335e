import json

import pytest

from role_lens import Question, RoleLensError, load_questions
from role_lens.questions import DOMAIN_ROLES, MMLU_DOMAINS, SOURCES, home_domains, question_text

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
        ({"choices": ["4"]}, r"line 2: .*expected at least 2 options, got 1"),
        ({"choices": "4"}, "expected a list of strings"),
        ({"choices": ["4", " "]}, "an option is empty"),
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


def test_sources_are_the_files_of_a_folder():
    assert SOURCES.names == ("builtin", "mmlu")
    assert load_questions("builtin") == SOURCES["builtin"]("test")
    with pytest.raises(RoleLensError, match="unknown question source 'gsm': expected one of built"):
        SOURCES["gsm"]
    with pytest.raises(
        RoleLensError, match="no questions at gsm: expected one of builtin, mmlu, or"
    ):
        load_questions("gsm")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": " "}, "question q: the text is empty"),
        ({"choices": ("4",)}, "question q: expected at least 2 options, got 1"),
        ({"choices": ("4", "")}, "question q: an option is empty"),
        ({"answer": 2}, "question q: the answer 2 is outside the choices, 0 to 1"),
    ],
)
def test_questions_that_can_not_be(change, message):
    fields = {"id": "q", "question": "2+2?", "choices": ("3", "4"), "answer": 1}
    with pytest.raises(RoleLensError, match=message):
        Question(**{**fields, **change}, subject="s", domain="d")


def test_a_subject_of_mmlu_tells_the_domain(tmp_path):
    path = write(tmp_path / "q.jsonl", {**ROW, "subject": "econometrics"}, {**ROW, "subject": "x"})
    assert [one.domain for one in load_questions(path)] == ["econ", "x"]
    assert [one.id for one in load_questions(path, subject="econometrics")] == ["q:1"]


def test_a_domain_of_one_s_own_is_before_the_paper_s():
    homes = home_domains({"Nurse": "care", "ship_cook": "food"})
    assert homes["nurse"] == "care"
    assert homes["ship cook"] == "food"
    assert homes["lawyer"] == "law"
    assert set(home_domains().values()) == set(DOMAIN_ROLES)


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
