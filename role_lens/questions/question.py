"""Defines questions: multiple-choice questions, and questions whose answer is a number.

    Question("q1", "Which is a tree?", ("ash", "ant"), answer=0, subject="botany", domain="plants")

The possible answers of a multiple-choice question are called its options.
"""

import operator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from role_lens.errors import RoleLensError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The letters of the options, in their order."""
Template = Literal["paper", "mmlu"]
"""How a question is laid out with its letters, see `question_text`."""


@dataclass(frozen=True)
class Question:
    """One multiple-choice question.

    Raises:
        RoleLensError: an empty text or option, fewer than two options, or an answer outside them.

    Examples:
        >>> Question("q1", "Which is a tree?", ("ash", "ant"), 0, "botany", "plants").choices
        ('ash', 'ant')
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

    def __post_init__(self) -> None:
        # Of Python's own types, however they are given: they are part of the keys of results.
        object.__setattr__(self, "choices", tuple(self.choices))
        object.__setattr__(self, "answer", operator.index(self.answer))
        if not self.question.strip():
            raise RoleLensError(f"question {self.id}: the text is empty")
        if len(self.choices) < 2:
            raise RoleLensError(
                f"question {self.id}: expected at least 2 options, got {len(self.choices)}"
            )
        if not all(choice.strip() for choice in self.choices):
            raise RoleLensError(f"question {self.id}: an option is empty")
        if not 0 <= self.answer < len(self.choices):
            raise RoleLensError(
                f"question {self.id}: the answer {self.answer} is outside the choices, "
                f"0 to {len(self.choices) - 1}"
            )


@dataclass(frozen=True)
class NumericQuestion:
    """One question whose answer is a number.

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
