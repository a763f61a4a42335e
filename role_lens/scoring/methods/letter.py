"""Scores by letter: the question with its lettered options, and the log-probability of each letter.

It is that of the letter as the first answer token (arXiv 2502.12055, section 4).
"""

from role_lens.questions.question import LETTERS, question_text
from role_lens.scoring.method import ScoringMethod

METHOD = ScoringMethod(
    ask=question_text,
    answers=lambda question: LETTERS[: len(question.choices)],
    score=lambda likelihood, n_tokens: likelihood,
    lettered=True,
)
