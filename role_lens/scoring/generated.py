"""Score questions by the answers that the model writes: read from its text, or not at all.

Knows questions and patches, not roles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd

from role_lens._run.tokens import chat_text
from role_lens.errors import RoleLensError
from role_lens.generation import complete
from role_lens.models import Model
from role_lens.patches.patch import Patches, as_sequence
from role_lens.questions.question import LETTERS, NumericQuestion, Question, lettered
from role_lens.scoring.answers.letters import read_letter
from role_lens.scoring.answers.numbers import read_number

Style = Literal["direct", "chain"]

_OPENED = ("<think>", "<think>\n", "<think>\n\n")

_LEAD = {"direct": 'Answer only with "', "chain": 'Think step by step. Finish with "'}
_LETTER_FORM = 'The answer is (X)", where X is the letter of the correct answer.'
_NUMBER_FORM = 'The answer is N", where N is a number.'
_LENGTH: dict[Style, int] = {"direct": 32, "chain": 512}


@dataclass(frozen=True)
class Generation:
    """How answers are written."""

    style: Style = "direct"
    """Ask for the answer alone, or to think step by step before it (chain of thought, Kojima et
    al. 2022, arXiv 2205.11916)."""
    max_new_tokens: int | None = None
    """Longest answer; None for 32 (direct) or 512 (chain)."""
    temperature: float = 0.0
    """0 for greedy decoding."""
    seed: int = 0
    """Of the sampling; every question has its own random numbers, whatever shares its batch."""
    batch_size: int = 16
    """Questions at once."""


def score_generated(
    model: Model,
    questions: Sequence[Question] | Sequence[NumericQuestion],
    patches: Mapping[str, Patches],
    generation: Generation | None = None,
    *,
    system: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Let the model answer every question under every patch, and read its answers.

    An answer that can't be read is never counted as one of the choices, nor as correct; how many
    there are, `summarize` says.

    Returns:
        One row per (patch, question): `patch, question_id, domain, subject, n_choices` (missing
        for numbers), `answer` and `predicted` (letter or number; missing where none could be
        read), `correct, readable, truncated` (ended by the limit of tokens), `text`.

    Raises:
        RoleLensError: no questions or patches, an unknown style, a patch that doesn't fit the
            model, a text longer than the context.
    """
    if not questions or not patches:
        raise RoleLensError("evaluate needs at least one question and one patch")
    how = generation or Generation()
    if how.style not in get_args(Style):
        raise RoleLensError(f"style must be one of {get_args(Style)}, got {how.style!r}")
    asked: list[Question | NumericQuestion] = list(questions)
    prompts = [question_prompt(question, how.style) for question in asked]
    for part in (part for patch in patches.values() for part in as_sequence(patch)):
        part.check(model)
    # Some templates open the reasoning themselves, so that only its end is in the text.
    thinking = "<think>" if chat_text(model, prompts[0], system).endswith(_OPENED) else ""
    length = _LENGTH[how.style] if how.max_new_tokens is None else how.max_new_tokens
    tables = []
    for name, patch in patches.items():
        completions = complete(
            model,
            prompts,
            patch=patch,
            max_new_tokens=length,
            system=system,
            temperature=how.temperature,
            seed=how.seed,
            batch_size=how.batch_size,
            progress=progress,
        )
        rows = [
            {
                **_read(question, thinking + completion.text, completion.truncated),
                "truncated": completion.truncated,
                "text": completion.text,
            }
            for question, completion in zip(asked, completions, strict=True)
        ]
        table = pd.DataFrame(rows)
        table.insert(0, "patch", name)
        tables.append(table)
    types = {"n_choices": "Int64", "answer": "string", "predicted": "string", "text": "string"}
    return pd.concat(tables, ignore_index=True).astype(types)


def question_prompt(question: Question | NumericQuestion, style: Style) -> str:
    """The question, its choices, and in which form to answer."""
    if isinstance(question, NumericQuestion):
        return f"{question.question.strip()}\n\n{_LEAD[style]}{_NUMBER_FORM}"
    choices = "\n".join(lettered(question))
    return f"{question.question.strip()}\n{choices}\n\n{_LEAD[style]}{_LETTER_FORM}"


def _read(question: Question | NumericQuestion, text: str, truncated: bool) -> dict[str, Any]:
    about = {"question_id": question.id, "domain": question.domain, "subject": question.subject}
    if isinstance(question, NumericQuestion):
        number = read_number(text, truncated=truncated)
        predicted = None if number is None else str(number)
        answer, n_choices = str(question.answer), None
    else:
        index = read_letter(text, question.choices, truncated=truncated)
        predicted = None if index is None else LETTERS[index]
        answer, n_choices = LETTERS[question.answer], len(question.choices)
    return {
        **about,
        "n_choices": n_choices,
        "answer": answer,
        "predicted": predicted,
        "correct": predicted == answer,
        "readable": predicted is not None,
    }
