"""Holds how questions are asked, as one record: scoring, layout, system message and examples.

    evaluate(model, questions, patches, Asking(scoring="cloze"))

`evaluate`, `attribute`, `sweep`, `select` and `compare` take it.
"""

from dataclasses import dataclass
from typing import get_args

from role_lens.checks import string
from role_lens.errors import RoleLensError
from role_lens.questions.question import Question, Template, question_list
from role_lens.scoring.method import METHODS

GENERATE = "generate"
"""Scoring by the answer that the model writes; only `evaluate` does it."""


@dataclass(frozen=True)
class Asking:
    """How questions are asked.

    Raises:
        RoleLensError: an unknown scoring or template, or examples for generated answers.

    Examples:
        >>> Asking(scoring="cloze", system="You are a nurse.").scoring
        'cloze'
    """

    scoring: str = "letter"
    """By the `letter` of each option, by its text (`cloze`), by another file in
    `role_lens.scoring.methods`, or by the answer that the model writes (`generate`)."""
    template: Template = "paper"
    """Layout of the question with its letters: that of arXiv 2502.12055 (`paper`) or of MMLU."""
    system: str | None = None
    """System message; None for the chat template's own default."""
    examples: tuple[Question, ...] = ()
    """Answered questions. Those of a question's subject are put before it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "examples", tuple(question_list(self.examples, "examples")))
        string(self.scoring, "scoring")
        string(self.template, "template")
        if self.scoring not in (*METHODS, GENERATE):
            known = ", ".join((*METHODS, GENERATE))
            raise RoleLensError(f"unknown scoring {self.scoring!r}: expected one of {known}")
        if self.scoring == GENERATE and self.examples:
            raise RoleLensError(
                f"examples are for scoring by likelihood, got scoring={GENERATE!r}: leave them out"
            )
        if self.template not in get_args(Template):
            raise RoleLensError(
                f"template must be one of {get_args(Template)}, got {self.template!r}"
            )


def check_likelihood(asking: Asking) -> None:
    """Raise a RoleLensError unless questions are scored by likelihood, as sweeps and comparisons
    need."""
    if asking.scoring == GENERATE:
        raise RoleLensError(
            f"scoring {GENERATE!r} is for evaluate only; sweeps and comparisons take "
            + " or ".join(METHODS)
        )
