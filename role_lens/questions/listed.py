"""Takes questions in whatever holds them: a list, a tuple, a pandas Series, an array, a generator.

question_list(table["question"])    # a list of `Question`
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from role_lens.errors import RoleLensError
from role_lens.questions.question import NumericQuestion, Question

Kind = TypeVar("Kind", bound=Question | NumericQuestion)


def question_list(questions: Iterable[Kind], what: str = "questions") -> list[Kind]:
    """Questions as a list.

    Args:
        what: what they are called in messages.

    Raises:
        RoleLensError: something that holds no questions, or also other things.
    """
    table = hasattr(questions, "columns")
    if isinstance(questions, (str, bytes, Mapping)) or table or not isinstance(questions, Iterable):
        hint = ": load_questions makes questions of rows and files" if table else ""
        raise RoleLensError(f"{what} must be a list of Question, got {_shown(questions)}{hint}")
    several = list(questions)
    for number, one in enumerate(several):
        if not isinstance(one, (Question, NumericQuestion)):
            raise RoleLensError(
                f"{what} must be a list of Question, but number {number} is {_shown(one)}"
            )
    return several


def _shown(value: Any) -> str:
    if hasattr(value, "shape") or isinstance(value, Mapping):
        return f"a {type(value).__name__}"
    return f"{value!r:.60}"
