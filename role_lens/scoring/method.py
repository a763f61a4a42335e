"""Defines how multiple-choice questions are scored by likelihood, and lists the methods.

    METHODS.names                        # ("cloze", "letter")
    METHODS["cloze"].answers(question)   # the texts of the options

Each method is one file in `role_lens.scoring.methods`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from role_lens._registry import Registry
from role_lens.questions.question import Question, Template

Scores: TypeAlias = Any
"""An array or a tensor of numbers, one for each option."""


@dataclass(frozen=True)
class ScoringMethod:
    """A way of scoring options: how the question is put, what answers it, and what the score is.

    Examples:
        >>> from role_lens.scoring import METHODS
        >>> METHODS["cloze"].answers(questions[0])
        ('a', 'bc')
        >>> METHODS["cloze"].score(-6.0, 3)    # log-likelihood of an option of 3 tokens, per token
        -2.0
    """

    ask: Callable[[Question, Template], str]
    """Gives the question as text, up to where its answer begins."""
    answers: Callable[[Question], Sequence[str]]
    """Gives for each option the text whose likelihood is its score."""
    score: Callable[[Scores, Scores], Scores]
    """Gives what options are compared by, in nats, from the log-likelihoods of their texts and
    their numbers of tokens. It takes arrays and tensors, and has to be differentiable."""
    lettered: bool = False
    """Whether options are named by letters, among which a model may have preferences."""
    bare: Callable[[Question], str] | None = None
    """Gives the question as one turn of a chat, where that differs from `ask`."""


METHODS: Registry[ScoringMethod] = Registry("role_lens.scoring.methods", "METHOD", "scoring")
"""The ways of scoring options, by the names of their files."""
