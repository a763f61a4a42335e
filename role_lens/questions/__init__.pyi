from .domains import DOMAIN_ROLES, MMLU_DOMAINS, domain_of, home_domains, homes_among, homes_of
from .loading import SOURCES, load_numeric_questions, load_questions
from .question import LETTERS, NumericQuestion, Question, Template, question_text
from .splits import (
    MIN_QUESTIONS,
    check_numbers,
    distinct,
    divide,
    sample_by_domain,
    sample_each,
    sample_questions,
    split_questions,
    without_repeats,
)

__all__ = [
    "DOMAIN_ROLES",
    "LETTERS",
    "MIN_QUESTIONS",
    "MMLU_DOMAINS",
    "SOURCES",
    "NumericQuestion",
    "Question",
    "Template",
    "check_numbers",
    "distinct",
    "divide",
    "domain_of",
    "home_domains",
    "homes_among",
    "homes_of",
    "load_numeric_questions",
    "load_questions",
    "question_text",
    "sample_by_domain",
    "sample_each",
    "sample_questions",
    "split_questions",
    "without_repeats",
]
