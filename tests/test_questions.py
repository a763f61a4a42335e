import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from role_lens import NumericQuestion, Question, RoleLensError, load_questions
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
        ({"choices": "4"}, "expected a list of options in the field 'choices', got '4'"),
        ({"choices": ["4", " "]}, "an option is empty"),
        ({"answer": 2}, r"line 2: .*answer 2 is outside the choices, 0 to 1"),
        ({"answer": -1}, "outside the choices"),
        ({"answer": "C"}, "expected an index from 0 to 1, a letter or .* got 'C'"),
        ({"answer": True}, "expected an index from 0"),
        ({"question": ""}, "expected a non-empty string in the field 'question', got ''"),
        ({"question": 3}, "expected a non-empty string in the field 'question', got 3"),
        ({"choices": [3, [4]]}, r"expected a text as option 2, got \[4\]"),
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


FIELDS = {"id": "q", "question": "2+2?", "choices": ("3", "4"), "answer": 1}
FIELDS |= {"subject": "s", "domain": "d"}
NAMED = ("A", "B", "3", "3.0", "Yes")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": " "}, "question q: the text is empty"),
        ({"question": None}, "question q: expected a string as its text, got None"),
        ({"question": float("nan")}, "question q: expected a string as its text, got nan"),
        ({"choices": ("4",)}, "question q: expected at least 2 options, got 1"),
        ({"choices": ("4", "")}, "question q: an option is empty"),
        ({"choices": "34"}, "question q: expected a list of options, got '34'"),
        ({"choices": {"A": "3", "B": "4"}}, "question q: expected a list of options, got {'A'"),
        ({"choices": {"3", "4"}}, "question q: expected a list of options, got {"),
        ({"choices": None}, "question q: expected a list of options, got None"),
        ({"choices": pd.DataFrame({"a": ["3"]})}, "expected a list of options, got +a 0 3$"),
        ({"choices": np.array([["3"], ["4"]])}, "question q: expected a text as option 1, got arr"),
        ({"choices": ("3", None)}, "question q: expected a text as option 2, got None"),
        ({"choices": pd.Series(["3", np.nan])}, "question q: expected a text as option 2, got nan"),
        ({"answer": 2}, "question q: the answer 2 is outside the choices, 0 to 1; if .* from 1"),
        ({"answer": -1}, "question q: the answer -1 is outside the choices"),
        ({"answer": None}, "question q: there is no answer"),
        ({"answer": pd.NA}, "question q: there is no answer"),
        ({"answer": True}, "question q: expected an index from 0 to 1, a letter or .* got True"),
        ({"answer": np.bool_(True)}, "got True"),
        ({"answer": 0.5}, "got 0.5"),
        ({"answer": [1]}, r"got \[1\]"),
        ({"answer": "five"}, "got 'five'"),
        ({"choices": ("1", "2"), "answer": "1"}, "'1' can be the option '2' as an index from 0 or"),
        ({"id": None}, "expected a name as the id of a question, got None"),
        ({"subject": float("nan")}, "question q: expected a name as the subject of a question"),
        ({"domain": pd.NaT}, "question q: expected a name as the domain of a question, got NaT"),
    ],
)
def test_questions_that_can_not_be(change, message):
    with pytest.raises(RoleLensError, match=message) as raised:
        Question(**{**FIELDS, **change})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        *(({"id": one}, {"id": "7"}) for one in (7, 7.0, np.int64(7), np.float32(7), np.str_("7"))),
        ({"id": " 7"}, {"id": " 7"}),
        ({"id": ("a", 1)}, {"id": "('a', 1)"}),
        *(
            ({"choices": one}, {"choices": ("3", "4")})
            for one in (["3", "4"], np.array(["3", "4"]), pd.Series(["3", "4"]), (3, np.int8(4)))
        ),
        ({"choices": (str(one) for one in (3, 4))}, {"choices": ("3", "4")}),
        ({"choices": np.array([0.5, 4])}, {"choices": ("0.5", "4.0")}),
        *(
            ({"answer": one}, {"answer": 1})
            for one in (1.0, np.int64(1), np.float64(1), np.array(1), torch.tensor(1), "1", "1.0")
        ),
        *(
            ({"answer": one}, {"answer": 1})
            for one in ("B", "b", " B ", "(B)", "[b]", "B.", "B) 4")
        ),
        ({"answer": "4"}, {"answer": 1}),
        ({"choices": NAMED, "answer": "yes"}, {"choices": NAMED, "answer": 4}),
        ({"choices": (2, 1), "answer": 2}, {"choices": ("2", "1"), "answer": 0}),
        ({"question": np.str_("2+2?")}, {}),
        ({"domain": "me\u0301decine", "subject": 3}, {"domain": "m\xe9decine", "subject": "3"}),
    ],
)
def test_values_out_of_tables_become_python_s_own(change, kept):
    question = Question(**{**FIELDS, **change})
    assert vars(question) == {**FIELDS, **kept}
    assert {type(value) for value in vars(question).values()} == {str, tuple, int}
    assert {type(choice) for choice in question.choices} == {str}
    assert replace(question, id="r").id == "r"


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        *(
            (one, 3)
            for one in (3, 3.0, np.int64(3), np.array(3), Decimal(3), "3", " 3.0", "$3", "3%")
        ),
        *((one, 1200) for one in ("1,200", "1 200", "1\u202f200", "1'200", "$1,200.00", "1_200")),
        ("-1,234,567.5", Fraction(-2469135, 2)),
        ("\u22122", -2),
        ("1,00,000", 100000),
        ("so 4 - 2 = 2\n#### 2", 2),
        *((one, Fraction(1, 2)) for one in (0.5, np.float32(0.5), "1/2", ".5", Fraction(1, 2))),
    ],
)
def test_numbers_out_of_tables(answer, number):
    question = NumericQuestion(np.int64(7), "How many?", answer, "s", "d")
    assert question == NumericQuestion("7", "How many?", Fraction(number), "s", "d")
    assert type(question.answer) is Fraction


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"answer": one}, "question q: expected a number as the answer, got")
          for one in (None, float("nan"), float("inf"), True, "two", "1,5", "1/0", "", [3])),
        ({"question": ""}, "question q: the text is empty"),
        ({"question": None}, "question q: expected a string as its text, got None"),
        ({"id": pd.NA}, "expected a name as the id of a question"),
        ({"subject": None}, "question q: expected a name as the subject"),
    ],
)  # fmt: skip
def test_numeric_questions_that_can_not_be(change, message):
    fields = {name: value for name, value in FIELDS.items() if name != "choices"}
    with pytest.raises(RoleLensError, match=message):
        NumericQuestion(**{**fields, **change})


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
