"""Gives the package's own questions: 8 domains of 120, described in `role_lens/data/README.md`."""

from role_lens.prompts import DATA
from role_lens.questions.question import Question
from role_lens.questions.question_files import read_questions


def load(split: str) -> list[Question]:
    """All built-in questions, whatever the split: they have none."""
    return read_questions(DATA / "questions")
