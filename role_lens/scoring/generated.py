"""Scores questions by the answers that the model writes: each is read from its text, or not at all.

    evaluate(model, questions, patches, Asking("generate"), generation=Generation("chain"))

The rules of reading are in `role_lens.scoring.answers`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from role_lens.chat import chat_text, opens_thinking
from role_lens.errors import RoleLensError
from role_lens.generation import Sampling, complete
from role_lens.models import Model
from role_lens.patches.patch import Patches, named_patches
from role_lens.questions.question import LETTERS, NumericQuestion, Question, lettered, question_list
from role_lens.scoring.answers.letters import read_letter
from role_lens.scoring.answers.numbers import read_number
from role_lens.scoring.generation_options import Generation, Style

_LEAD = {
    "direct": 'Answer only with "The answer is {}"',
    "chain": 'Think step by step. Finish with "The answer is {}"',
    "boxed": 'Reason step by step, and finish with "\\boxed{{{}}}"',
}


def score_generated(
    model: Model,
    questions: Iterable[Question | NumericQuestion],
    patches: Mapping[str, Patches],
    how: Generation = Generation(),
    *,
    system: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Let the model answer every question under every patch, and read its answers.

    An answer that can't be read is never counted as one of the options, nor as correct; `summarize`
    says how many there are.

    Args:
        patches: name -> a patch, several that act together, or None for the unpatched model.
        how: how answers are written.
        system: system message; None for the chat template's own default.
        progress: show progress bars.

    Returns:
        One row per patch and question: `patch, question_id, domain, subject, n_choices` (options;
        missing for numbers), `answer` and `predicted` (letter or number; missing where none could
        be read), `correct, readable, truncated` (ended by the limit of tokens), `text`.

    Raises:
        RoleLensError: a text is longer than the model's context.

    Examples:
        >>> from role_lens.scoring import score_generated
        >>> how = Generation(max_new_tokens=4)
        >>> table = score_generated(model, questions, {"baseline": None}, how, progress=False)
        >>> table["answer"].tolist()
        ['A', 'B', 'A', 'B']
    """
    asked: list[Question | NumericQuestion] = question_list(questions)
    several = named_patches(patches)
    if not asked or not patches:
        raise RoleLensError(
            f"expected at least one question and one patch, got {len(asked)} and {len(several)}"
        )
    prompts = [question_prompt(question, how.style) for question in asked]
    # Some templates open the reasoning themselves, so that only its end is in the text.
    thinking = "<think>" if opens_thinking(chat_text(model, prompts[0], system)) else ""
    tables = []
    for name, patch in several.items():
        completions = complete(
            model,
            prompts,
            patch=patch,
            max_new_tokens=how.length,
            system=system,
            sampling=Sampling(how.temperature, how.seed, batch_size=how.batch_size),
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
    """The question, its options, and in which form to answer."""
    if isinstance(question, NumericQuestion):
        form = f"{_LEAD[style].format('N')}, where N is a number."
        return f"{question.question.strip()}\n\n{form}"
    choices = "\n".join(lettered(question))
    letter = "X" if style == "boxed" else "(X)"
    form = f"{_LEAD[style].format(letter)}, where X is the letter of the correct answer."
    return f"{question.question.strip()}\n{choices}\n\n{form}"


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
