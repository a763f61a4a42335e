"""Says which answers a model writes in each role, and which of them are kept.

    AnswerOptions(max_new_tokens=64, within=0.1)

`write_answers` and `role-lens answers` take them.
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from role_lens.checks import real_number, whole_number
from role_lens.errors import RoleLensError
from role_lens.prompts import filled_prompts

SHARED_QUESTIONS = (
    "What do you look at first when something has gone wrong?",
    "How do you decide whether somebody's claim can be trusted?",
    "What makes a day's work a good one?",
    "Which mistake do beginners make most often?",
    "A friend has to choose between two offers. What would you ask them?",
    "What did you learn the hard way?",
    "How would you explain what matters most to a child of ten?",
    "What should everybody know before they turn thirty?",
    "When is it better to wait than to act?",
    "Describe a problem that looks simple and is not.",
    "What do most people misunderstand?",
    "How do you prepare for an important conversation?",
    "What do you keep on your desk, and why?",
    "Which question do you wish people would ask you?",
    "What has changed most over the last ten years?",
    "How do you know that you have done enough?",
    "A town has money for one new building. Which should it be?",
    "What do you read to stay up to date?",
    "Which number, fact or rule do you use most often?",
    "What would you do with a week in which nobody needs you?",
)
"""Questions that anybody can answer, each role in its own way."""
_MOST_PHRASINGS = 6


@dataclass(frozen=True)
class AnswerOptions:
    """How answers are written and sifted.

    Raises:
        RoleLensError: no questions, an empty one, or a number out of range.

    Examples:
        >>> from role_lens.writing import AnswerOptions
        >>> AnswerOptions(questions=("What matters?",)).max_new_tokens
        48
    """

    questions: Annotated[tuple[str, ...], tyro.conf.Fixed, tyro.conf.Suppress] = SHARED_QUESTIONS
    """What every role is asked, and what is asked plainly."""
    n_phrasings: int = 2
    """How many phrasings of the persona prompt each question is asked with, 1 to 6."""
    max_new_tokens: int = 48
    """Longest answer, in tokens."""
    within: float = 0.2
    """An answer is kept if the role judge ranks its role among this share of all names."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "questions", filled_prompts(self.questions, "questions"))
        phrasings = whole_number(self.n_phrasings, "n_phrasings", least=1)
        object.__setattr__(self, "n_phrasings", phrasings)
        longest = whole_number(self.max_new_tokens, "max_new_tokens", least=1)
        object.__setattr__(self, "max_new_tokens", longest)
        object.__setattr__(self, "within", real_number(self.within, "within"))
        if phrasings > _MOST_PHRASINGS:
            raise RoleLensError(f"n_phrasings must be 1 to {_MOST_PHRASINGS}, got {phrasings}")
        if not 0 < self.within <= 1:
            raise RoleLensError(f"within must be above 0 and at most 1, got {self.within:g}")
