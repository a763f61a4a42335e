"""How multiple-choice questions are scored by likelihood, and the list of such methods.

METHODS.names                        # ("cloze", "letter")
METHODS["cloze"].answers(question)   # the texts of the options
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
    """A way of scoring options: how the question is put, what answers it, what a score is."""

    ask: Callable[[Question, Template], str]
    """The question as text, up to where its answer begins."""
    answers: Callable[[Question], Sequence[str]]
    """For each option the text whose likelihood is its score."""
    score: Callable[[Scores, Scores], Scores]
    """From the log-likelihoods of the answers and their numbers of tokens: what options are
    compared by, in nats. Of arrays and of tensors, so that it has a gradient."""
    bare: Callable[[Question], str] | None = None
    """The question as one turn of a chat without examples, where that differs from `ask`."""


METHODS: Registry[ScoringMethod] = Registry("role_lens.scoring.methods", "METHOD", "scoring")
