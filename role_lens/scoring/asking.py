"""Holds how questions are asked, as one record: scoring, layout, system message and examples.

    evaluate(model, questions, patches, Asking(scoring="cloze"))

`evaluate`, `attribute`, `sweep`, `select` and `compare` take it.
"""

from dataclasses import dataclass
from typing import Annotated, get_args

import tyro

from role_lens.errors import RoleLensError
from role_lens.questions.question import Question, Template
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
    # The command line reads them from a file.
    examples: Annotated[tuple[Question, ...], tyro.conf.Fixed, tyro.conf.Suppress] = ()
    """Answered questions. Those of a question's subject are put before it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "examples", tuple(self.examples))
        if self.scoring != GENERATE:
            METHODS.check(self.scoring)
        elif self.examples:
            raise RoleLensError("examples are for letter and cloze scoring")
        if self.template not in get_args(Template):
            raise RoleLensError(
                f"template must be one of {get_args(Template)}, got {self.template!r}"
            )
