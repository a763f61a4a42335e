from collections import Counter

import pytest

from role_lens import Question, RoleLensError
from role_lens.questions import (
    check_numbers,
    distinct,
    divide,
    sample_by_domain,
    sample_questions,
    split_questions,
    without_repeats,
)


def question(number, subject, text=None, choices=("yes", "no")):
    return Question(f"q{number}", text or f"Which {number}?", choices, 0, subject, "d")


QUESTIONS = [question(i, "large" if i % 5 else "small") for i in range(100)]


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.5, 1.0])
def test_split_is_stratified_and_whole(fraction):
    first, second = split_questions(QUESTIONS, fraction)
    assert Counter(first + second) == Counter(QUESTIONS)
    counts = Counter(question.subject for question in first)
    assert counts["large"] == pytest.approx(80 * fraction, abs=1)
    assert counts["small"] == pytest.approx(20 * fraction, abs=1)
    assert first == sorted(first, key=QUESTIONS.index)
    assert split_questions(QUESTIONS, fraction) == (first, second)


def test_seed():
    assert split_questions(QUESTIONS, seed=1) != split_questions(QUESTIONS, seed=2)
    with pytest.raises(RoleLensError, match="between 0 and 1"):
        split_questions(QUESTIONS, 1.5)


def test_sample():
    sample = sample_questions(QUESTIONS, 10)
    assert Counter(question.subject for question in sample) == {"large": 8, "small": 2}
    assert set(sample) < set(sample_questions(QUESTIONS, 20))  # growing a sample keeps it
    assert sample_questions(QUESTIONS, 1000) == QUESTIONS
    assert sample_questions(QUESTIONS, None) == QUESTIONS


def test_sample_of_each_domain():
    mixed = [in_domain(i, "law" if i % 3 else "art") for i in range(60)]
    found = sample_by_domain(mixed, ["law", "art", "law"], 10)
    assert list(found) == ["law", "art"]
    for name, asked in found.items():
        assert asked == sample_questions([one for one in mixed if one.domain == name], 10)
    with pytest.raises(RoleLensError, match="no questions of the domain 'chess', but of: art, law"):
        sample_by_domain(mixed, ["law", "chess"], 10)


def test_every_question_is_as_likely_to_be_in_a_sample():
    """Also those of small subjects, and those that come late in the list."""
    questions = [question(i, f"s{i}" if i < 10 else "large") for i in range(40)]
    counts = Counter(
        one.id for seed in range(400) for one in sample_questions(questions, 10, seed=seed)
    )
    expected, deviation = 100, (400 * 0.25 * 0.75) ** 0.5
    assert len(counts) == 40
    assert max(abs(counts[one.id] - expected) for one in questions) < 4.5 * deviation
    with pytest.raises(RoleLensError, match="n must be at least 0, got -1"):
        sample_questions(questions, -1)


def test_copies():
    copy = question(7, "t", "which 3?.", ("No.", "yes"))
    assert distinct([*QUESTIONS, copy]) == QUESTIONS


def test_no_question_is_in_a_sample_twice():
    copies = [question(100 + i, "large", f" which {i}? ") for i in range(30)]
    for n in (10, 50, None):
        sample = sample_questions([*QUESTIONS, *copies], n)
        assert len(distinct(sample)) == len(sample) == (n or 100)


def test_repeats_are_told_by_text_and_choices():
    test = [question(1, "s", "Which of these?", ("one", "two"))]
    same = question(2, "t", " which  OF these?", ("Two.", "one"))
    other = question(3, "s", "Which of these?", ("three", "two"))
    assert without_repeats([same, other], test) == [other]


def in_domain(number, domain, text=None):
    return Question(f"q{number}", text or f"What {number}?", ("yes", "no"), 0, "s", domain)


def test_divide_halves_only_the_roles_own_domains():
    questions = [in_domain(i, "own" if i < 40 else "other") for i in range(60)]
    choosing, testing = divide(questions, None, {"poet": "own"}, 0)
    assert {name: len(some) for name, some in choosing.items()} == {"own": 20}
    assert {name: len(some) for name, some in testing.items()} == {"own": 20, "other": 20}
    assert not {*choosing["own"]} & {*testing["own"]}


def test_divide_keeps_the_parts_apart():
    test = [in_domain(i, "own") for i in range(3)]
    same = in_domain(7, "own", "what 1?")
    validation = [same, in_domain(8, "own"), in_domain(9, "own", "What 8?")]
    with pytest.warns(UserWarning, match="repeat another|test questions too") as told:
        choosing, testing = divide(test, validation, {"poet": "own"}, 0)
    assert [str(warning.message).partition(",")[0] for warning in told] == [
        "1 of 3 validation questions repeat another",
        "1 of 2 validation questions are test questions too",
    ]
    assert choosing["own"] == [in_domain(8, "own")]
    assert testing["own"] == test


def test_domains_without_questions_are_refused_by_name():
    own = [in_domain(i, "own") for i in range(3)]
    with pytest.raises(RoleLensError, match="no questions of the domain 'odd', but of: own"):
        divide(own, None, {"poet": "odd"}, 0)
    with pytest.raises(RoleLensError, match="no validation questions of the domain 'own', but of"):
        divide(own, [in_domain(1, "few")], {"poet": "own"}, 0)


def test_too_few_questions_are_refused_by_name():
    few = [in_domain(i, "own") for i in range(19)]
    check_numbers({"own": [*few, few[0]]}, [])
    with pytest.raises(RoleLensError, match=r"'own' has 19 validation.*at least 20"):
        check_numbers({"own": few}, [])
    with pytest.raises(RoleLensError, match="'far' has 19 test questions"):
        check_numbers({}, [("far", False, few)])
