"""Divides questions into those that choose and those that test, at random and none twice.

    choosing, testing = split_questions(questions, 0.5, seed=0)

Every split and sample keeps the share of each subject, and depends on its seed alone.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from role_lens.errors import RoleLensError, warn
from role_lens.questions.question import Question, plain_name

MIN_QUESTIONS = 20
"""The fewest questions of a domain that may choose, or that may test."""


def split_questions(
    questions: Sequence[Question], fraction: float = 0.5, *, seed: int = 0
) -> tuple[list[Question], list[Question]]:
    """Divide questions at random into two lists, each subject in the same proportion.

    Both lists keep the order of `questions`.

    Args:
        fraction: share of the questions that the first list gets.

    Raises:
        RoleLensError: a fraction outside 0 to 1.

    Examples:
        >>> from role_lens.questions import split_questions
        >>> choosing, testing = split_questions(many_questions, 0.25)
        >>> len(choosing), len(testing)
        (20, 60)
    """
    if not 0 <= fraction <= 1:
        raise RoleLensError(f"fraction must lie between 0 and 1, got {fraction}")
    chosen = set(_by_share(questions, seed)[: round(fraction * len(questions))])
    first = [question for i, question in enumerate(questions) if i in chosen]
    second = [question for i, question in enumerate(questions) if i not in chosen]
    return first, second


def sample_questions(
    questions: Sequence[Question], n: int | None, *, seed: int = 0
) -> list[Question]:
    """Sample at most n questions at random, none twice, each subject in proportion to its size.

    The sample keeps the order of `questions`.

    Args:
        n: the number of questions; None for all, without repetitions.

    Raises:
        RoleLensError: a negative number.

    Examples:
        >>> from role_lens.questions import sample_questions
        >>> len(sample_questions(many_questions, 30)), len(sample_questions(questions * 2, None))
        (30, 4)
    """
    if n is not None and n < 0:
        raise RoleLensError(f"n must be at least 0, got {n}")
    first: dict[tuple[str, frozenset[str]], int] = {}
    for index in _by_share(questions, seed):
        first.setdefault(_content(questions[index]), index)
    return [questions[i] for i in sorted(list(first.values())[:n])]


def sample_by_domain(
    questions: Sequence[Question], domains: Iterable[str], n: int | None, *, seed: int = 0
) -> dict[str, list[Question]]:
    """Sample at most n questions of each of some domains, as `sample_questions` does.

    Raises:
        RoleLensError: a domain without questions.

    Examples:
        >>> from role_lens.questions import sample_by_domain
        >>> samples = sample_by_domain(many_questions, ["verse", "food"], 10)
        >>> {domain: len(some) for domain, some in samples.items()}
        {'verse': 10, 'food': 10}
    """
    wanted = list(dict.fromkeys(map(plain_name, domains)))
    _check_domains(questions, wanted, "questions")
    asked = {name: [one for one in questions if one.domain == name] for name in wanted}
    return sample_each(asked, n, seed=seed)


def sample_each(
    asked: Mapping[str, Sequence[Question]], n: int | None, *, seed: int = 0
) -> dict[str, list[Question]]:
    """Sample at most n questions of every domain, as `sample_questions` does.

    Args:
        asked: domain -> its questions.

    Examples:
        >>> from role_lens.questions import sample_each
        >>> len(sample_each({"verse": many_questions[:40]}, 10)["verse"])
        10
    """
    return {domain: sample_questions(some, n, seed=seed) for domain, some in asked.items()}


def without_repeats(questions: Sequence[Question], others: Sequence[Question]) -> list[Question]:
    """Leave out questions that are among others: those with the same text and the same options.

    Case, spacing, final full stops and the order of the options don't matter.

    Examples:
        >>> from role_lens.questions import without_repeats
        >>> [one.id for one in without_repeats(questions, questions[:2])]
        ['q2', 'q3']
    """
    known = {_content(question) for question in others}
    return [question for question in questions if _content(question) not in known]


def distinct(questions: Sequence[Question]) -> list[Question]:
    """Keep the first of each question that is there more than once.

    Questions are compared as `without_repeats` compares them.

    Examples:
        >>> from role_lens.questions import distinct
        >>> len(distinct([*questions, questions[0]])) == len(questions)
        True
    """
    first: dict[tuple[str, frozenset[str]], Question] = {}
    for question in questions:
        first.setdefault(_content(question), question)
    return list(first.values())


def divide(
    questions: Sequence[Question],
    validation: Sequence[Question] | None,
    homes: Mapping[str, str],
    seed: int,
) -> tuple[dict[str, list[Question]], dict[str, list[Question]]]:
    """Divide questions by domain into those that choose, for the roles' own domains, and those that
    test.

    No question is in both, and none is in either twice; a warning says how many were left out.

    Args:
        questions: those that test; or if `validation` is None, those that are divided.
        validation: those that choose; None to take half of `questions` of each role's own domain.
        homes: role -> its own domain.
        seed: seed of the halves.

    Returns:
        Domain -> the questions that choose, and domain -> the questions that test.

    Raises:
        RoleLensError: a role's own domain has no questions.

    Examples:
        >>> from role_lens.questions import divide
        >>> choosing, testing = divide(many_questions, None, {"poet": "verse"}, seed=0)
        >>> len(choosing["verse"]), {domain: len(some) for domain, some in testing.items()}
        (20, {'food': 40, 'verse': 20})
    """
    own = sorted(set(homes.values()))
    _check_domains(questions, own, "questions")
    if validation is not None:
        _check_domains(validation, own, "validation questions")
    asked = _without_copies(questions, "questions")
    named = sorted({*own, *(question.domain for question in asked)})
    testing = {name: [one for one in asked if one.domain == name] for name in named}
    if validation is None:
        choosing = []
        for name in own:
            some, testing[name] = split_questions(testing[name], seed=seed)
            choosing += some
    else:
        given = _without_copies(validation, "validation questions")
        choosing = without_repeats(given, asked)
        if len(choosing) < len(given):
            warn(
                f"{len(given) - len(choosing)} of {len(given)} validation questions are test "
                "questions too, and were left out of the validation"
            )
    return {name: [one for one in choosing if one.domain == name] for name in own}, testing


def _check_domains(questions: Sequence[Question], wanted: Sequence[str], what: str) -> None:
    known = sorted({question.domain for question in questions})
    for domain in wanted:
        if domain not in known:
            raise RoleLensError(
                f"there are no {what} of the domain {domain!r}, but of: {', '.join(known)}"
            )


def _without_copies(questions: Sequence[Question], what: str) -> list[Question]:
    kept = distinct(questions)
    if len(kept) < len(questions):
        warn(
            f"{len(questions) - len(kept)} of {len(questions)} {what} repeat another, and were "
            "left out"
        )
    return kept


def check_numbers(
    choosing: Mapping[str, Sequence[Question]],
    tests: Sequence[tuple[str, bool, Sequence[Question]]],
) -> None:
    """Raise a RoleLensError if a domain has fewer than 20 questions to choose, or to test.

    Args:
        choosing: domain -> the questions that choose.
        tests: for each test the domain, whether it is the own domain of the tested roles, and the
            questions.

    Examples:
        >>> from role_lens.questions import check_numbers
        >>> check_numbers({"verse": many_questions[:40]}, [("verse", True, questions)])
        Traceback (most recent call last):
        role_lens.errors.RoleLensError: domain 'verse' has 4 test questions...
    """
    numbers = [
        (domain, "validation questions that aren't repeats or test questions too", len(asked), "")
        for domain, asked in choosing.items()
    ]
    numbers += [
        (
            domain,
            "test questions, repeats left out",
            len(asked),
            "" if own else ", or leave other domains than the roles' own out (max_off_domain=0)",
        )
        for domain, own, asked in tests
    ]
    for domain, what, n, or_else in numbers:
        if n < MIN_QUESTIONS:
            raise RoleLensError(
                f"domain {domain!r} has {n} {what}; at least {MIN_QUESTIONS} are needed: give "
                f"more{or_else}"
            )


def _by_share(questions: Sequence[Question], seed: int) -> list[int]:
    """Indices in an order of which every beginning holds each subject in proportion."""
    generator = random.Random(seed)
    by_subject = sorted(range(len(questions)), key=lambda i: questions[i].subject)
    ranked: list[tuple[float, int]] = []
    for _, group in groupby(by_subject, key=lambda i: questions[i].subject):
        indices = list(group)
        generator.shuffle(indices)
        # A start of its own for each subject: else small ones would all come late, or together.
        start = generator.random()
        ranked += [((place + start) / len(indices), i) for place, i in enumerate(indices)]
    return [index for _, index in sorted(ranked)]


def _content(question: Question) -> tuple[str, frozenset[str]]:
    return _plain(question.question), frozenset(map(_plain, question.choices))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(" .")
