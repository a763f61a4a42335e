"""Scores by cloze: the question alone, and the log-likelihood of each option's text as the answer.

The log-likelihood is divided by the number of tokens (Brown et al. 2020, arXiv 2005.14165, section
2.4).
"""

from role_lens.scoring.method import ScoringMethod

METHOD = ScoringMethod(
    ask=lambda question, template: f"Question: {question.question}\nAnswer:",
    answers=lambda question: question.choices,
    score=lambda likelihood, n_tokens: likelihood / n_tokens,
    bare=lambda question: question.question,
)
