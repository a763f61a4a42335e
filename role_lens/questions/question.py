"""Defines questions: multiple-choice questions, and questions whose answer is a number.

    Question("q1", "Which is a tree?", ("ash", "ant"), answer=0, subject="botany", domain="plants")

The possible answers of a multiple-choice question are called its options.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Number
from typing import Any, Literal, TypeVar, get_args

from role_lens.checks import string
from role_lens.errors import RoleLensError
from role_lens.questions.keys import LETTERS, read_key, read_number_key
from role_lens.questions.options import Options, spelled
from role_lens.values import as_list, errors_of, is_missing, plain, shown

Template = Literal["paper", "mmlu"]
"""How a question is laid out with its letters, see `question_text`."""


@dataclass(frozen=True)
class Question:
    """One multiple-choice question.

    Values out of pandas or numpy are taken, and become Python's own: an id of any type, options in
    an array or Series, numbers as options. An answer can also be given as a letter or as the text
    of exactly one option.

    Raises:
        RoleLensError: a missing or empty text or option, fewer than two options, or an answer
            outside them or that can mean two of them.

    Examples:
        >>> Question("q1", "Which is a tree?", ("ash", "ant"), 0, "botany", "plants").choices
        ('ash', 'ant')
        >>> Question(2, "Which is a tree?", ["ant", "ash"], "B", "botany", "plants").answer
        1
    """

    id: str
    """A name, by which tables of scores tell questions apart."""
    question: str
    """The text."""
    choices: tuple[str, ...]
    """The texts of the options."""
    answer: int
    """Index of the right option, from 0."""
    subject: str
    """A narrower field, such as "econometrics"; samples and splits keep its share."""
    domain: str
    """A wider field, such as "econ"; roles are judged on domains."""

    def __init__(
        self,
        id: object,
        question: object,
        choices: object,
        answer: object,
        subject: object,
        domain: object,
    ) -> None:
        # The values become Python's own: they are part of the keys of results.
        name = _name("id", id)
        with errors_of(f"question {name}"):
            options = Options(_options(choices))
            vars(self).update(
                id=name,
                question=_text(question),
                choices=tuple(str(option) for option in options.texts),
                answer=read_key(answer, options),
                subject=plain_name(_name("subject", subject)),
                domain=plain_name(_name("domain", domain)),
            )


@dataclass(frozen=True)
class NumericQuestion:
    """One question whose answer is a number.

    Values out of pandas or numpy are taken, and become Python's own; an answer can be any number,
    or a text such as "1,200".

    Raises:
        RoleLensError: a missing or empty text, or an answer that isn't a number.

    Examples:
        >>> from fractions import Fraction
        >>> NumericQuestion("q1", "How much is 2 + 2?", Fraction(4), "sums", "math").answer
        Fraction(4, 1)
    """

    id: str
    question: str
    answer: Fraction
    subject: str
    domain: str

    def __init__(
        self, id: object, question: object, answer: object, subject: object, domain: object
    ) -> None:
        name = _name("id", id)
        with errors_of(f"question {name}"):
            vars(self).update(
                id=name,
                question=_text(question),
                answer=read_number_key(answer),
                subject=plain_name(_name("subject", subject)),
                domain=plain_name(_name("domain", domain)),
            )


Kind = TypeVar("Kind", bound=Question | NumericQuestion)


def question_list(questions: Iterable[Kind], what: str = "questions") -> list[Kind]:
    """Questions as a list, out of a list, tuple, pandas Series, numpy array or generator.

    Args:
        what: what they are called in messages.

    Raises:
        RoleLensError: something that holds no questions, or also other things.
    """
    several = as_list(questions)
    if several is None:
        is_table = hasattr(questions, "columns")
        hint = ": load_questions makes questions of rows and files" if is_table else ""
        raise RoleLensError(
            f"{what} must be a list of Question, got {type(questions).__name__}: "
            f"{shown(questions)}{hint}"
        )
    for number, one in enumerate(several):
        if not isinstance(one, (Question, NumericQuestion)):
            raise RoleLensError(
                f"{what} must be a list of Question, but number {number} is {shown(one)}"
            )
    return several


def _name(field: str, value: object) -> str:
    value = plain(value)
    if isinstance(value, str):
        return value
    if is_missing(value):
        raise RoleLensError(f"expected a name as the {field} of a question, got {shown(value)}")
    return spelled(value)


def _text(value: object) -> str:
    value = plain(value)
    if not isinstance(value, str):
        raise RoleLensError(f"expected a string as its text, got {shown(value)}")
    if not value.strip():
        raise RoleLensError("the text is empty")
    return value


def _options(values: object) -> list[Any]:
    options = as_list(values)
    if options is None:
        raise RoleLensError(f"expected a list of options, got {shown(values)}")
    for number, option in enumerate(options, start=1):
        if isinstance(option, str) and not option.strip():
            raise RoleLensError("an option is empty")
        if is_missing(option) or not isinstance(option, (str, Number)):
            raise RoleLensError(f"expected a text as option {number}, got {shown(option)}")
    if len(options) < 2:
        raise RoleLensError(f"expected at least 2 options, got {len(options)}")
    return options


def plain_name(name: str) -> str:
    """The name of a subject or domain in one form of Unicode: macOS names files in another."""
    return unicodedata.normalize("NFC", string(name, "the name of a subject or domain"))


def question_text(question: Question, template: Template = "paper") -> str:
    """Lay a question out as a prompt that asks for a letter.

    Args:
        template: `paper`, the layout of arXiv 2502.12055; or `mmlu`, that of Hendrycks et al. 2021
            (arXiv 2009.03300): the question, a line such as `A. ash` for each option, `Answer:`.

    Raises:
        RoleLensError: an unknown template, or more options than letters.

    Examples:
        >>> from role_lens.questions import question_text
        >>> trees = Question("q1", "Which is a tree?", ("ash", "ant"), 0, "botany", "plants")
        >>> print(question_text(trees, "mmlu"))
        Which is a tree?
        A. ash
        B. ant
        Answer:
    """
    if template not in get_args(Template):
        raise RoleLensError(f"template must be one of {get_args(Template)}, got {template!r}")
    indent = "\n\t\t\t" if template == "paper" else "\n"
    text = question.question if template == "paper" else question.question.strip()
    lines = [text, *lettered(question)]
    if template == "paper":
        lines.append("Answer with the letter of the correct answer.")
    return indent.join([*lines, "Answer:"])


def lettered(question: Question) -> list[str]:
    """A line such as `A. ash` for each option.

    Raises:
        RoleLensError: more options than letters.
    """
    if len(question.choices) > len(LETTERS):
        raise RoleLensError(
            f"question {question.id} has {len(question.choices)} options, more than there are "
            "letters: use scoring='cloze'"
        )
    return [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(question.choices)]
