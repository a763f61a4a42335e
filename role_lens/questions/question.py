"""What is asked: multiple-choice questions and questions whose answer is a number.

Question("q1", "Which is a tree?", ("ash", "ant"), answer=0, subject="botany", domain="plants")
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from role_lens.errors import RoleLensError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Template = Literal["paper", "mmlu"]


@dataclass(frozen=True)
class Question:
    """One multiple-choice question.

    Raises:
        RoleLensError: an empty text or option, fewer than two options, an answer outside them.

    Example:
        >>> Question("q1", "Which is a tree?", ("ash", "ant"), 0, "botany", "plants").choices
        ('ash', 'ant')
    """

    id: str
    question: str
    choices: tuple[str, ...]
    """The options."""
    answer: int
    """Index of the right option, from 0."""
    subject: str
    domain: str

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise RoleLensError(f"question {self.id}: the text is empty")
        if len(self.choices) < 2:
            raise RoleLensError(
                f"question {self.id}: expected at least 2 choices, got {len(self.choices)}"
            )
        if not all(choice.strip() for choice in self.choices):
            raise RoleLensError(f"question {self.id}: a choice is empty")
        if not 0 <= self.answer < len(self.choices):
            raise RoleLensError(
                f"question {self.id}: the answer {self.answer} is outside the choices, "
                f"0 to {len(self.choices) - 1}"
            )


@dataclass(frozen=True)
class NumericQuestion:
    """One question whose answer is a number.

    Example:
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
    """The question as a prompt that asks for a letter.

    `paper` is the layout of arXiv 2502.12055; `mmlu` that of Hendrycks et al. 2021
    (arXiv 2009.03300): question, one `A. choice` a line, `Answer:`.

    Raises:
        RoleLensError: an unknown template, more choices than letters.
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
    """`A. choice` for each choice.

    Raises:
        RoleLensError: more choices than letters.
    """
    if len(question.choices) > len(LETTERS):
        raise RoleLensError(
            f"question {question.id} has {len(question.choices)} choices, more than there are "
            "letters: use scoring='cloze'"
        )
    return [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(question.choices)]
