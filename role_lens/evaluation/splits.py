"""Which questions choose and which test: seeded, stratified by subject, none in both."""

import random
from collections.abc import Sequence
from itertools import groupby

from role_lens.errors import RoleLensError
from role_lens.evaluation.questions import Question


def split_questions(
    questions: Sequence[Question], fraction: float = 0.5, *, seed: int = 0
) -> tuple[list[Question], list[Question]]:
    """Divide questions at random, each subject in the same proportion; the first list holds
    `fraction` of them. Both keep the order of `questions`.

    Raises:
        RoleLensError: a fraction outside 0 to 1.
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
    """At most n questions at random, each subject in proportion, in the order of `questions`."""
    return [questions[i] for i in sorted(_by_share(questions, seed)[:n])]


def without_repeats(questions: Sequence[Question], others: Sequence[Question]) -> list[Question]:
    """Those that are not among `others`: same text and same choices, in whatever order, spacing
    and case."""
    known = {_content(question) for question in others}
    return [question for question in questions if _content(question) not in known]


def _by_share(questions: Sequence[Question], seed: int) -> list[int]:
    """Indices in an order of which every beginning holds each subject in proportion."""
    generator = random.Random(seed)
    by_subject = sorted(range(len(questions)), key=lambda i: questions[i].subject)
    ranked: list[tuple[float, int]] = []
    for _, group in groupby(by_subject, key=lambda i: questions[i].subject):
        indices = list(group)
        generator.shuffle(indices)
        ranked += [((place + 0.5) / len(indices), i) for place, i in enumerate(indices)]
    return [index for _, index in sorted(ranked)]


def _content(question: Question) -> tuple[str, frozenset[str]]:
    return _plain(question.question), frozenset(map(_plain, question.choices))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
