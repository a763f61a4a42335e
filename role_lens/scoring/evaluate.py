"""Score multiple-choice questions under patches: by letter or by the text of the choices.

Knows questions and patches, not roles, nor how a model is run.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from role_lens._run.budget import token_budget
from role_lens.errors import RoleLensError
from role_lens.models import Model
from role_lens.patches.patch import Patches, as_sequence, form
from role_lens.questions.question import NumericQuestion, Question, Template
from role_lens.scoring.engine import engine, in_chunks
from role_lens.scoring.generated import Generation, score_generated
from role_lens.scoring.items import Item, Scoring, tokenize_questions
from role_lens.scoring.replay import first_layer


def evaluate(
    model: Model,
    questions: Sequence[Question] | Sequence[NumericQuestion],
    patches: Mapping[str, Patches],
    *,
    scoring: Scoring | Literal["generate"] = "letter",
    template: Template = "paper",
    system: str | None = None,
    examples: Sequence[Question] = (),
    generation: Generation | None = None,
    max_tokens: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score every question under every patch.

    - `letter`: the question with its lettered choices, and the log-probability of each letter as
      the first answer token (arXiv 2502.12055, section 4). Models with a chat template get one
      user turn and bare letters; base models get the text itself and letters after a space.
      Letters that are not single tokens are scored as sequences.
    - `cloze`: the question alone, and the log-likelihood of each choice's text as the answer,
      divided by its number of tokens (Brown et al. 2020, arXiv 2005.14165, section 2.4).
    - `generate`: the answer that the model writes, read from its text. Only this one takes
      `NumericQuestion`s, and it returns other columns: see
      `role_lens.scoring.generated.score_generated`.

    Args:
        patches: name -> patch, several patches, or None for the unchanged model.
        template: layout of the question for `letter`.
        system: system message; None for the chat template's own default.
        examples: answered questions to put before each question, in the same user turn: those of
            its subject.
        generation: how answers are written, for `generate`; None for greedy direct answers.
        max_tokens: most tokens in a batch, padding included; None for a number that suits the
            memory at hand. Not for `generate`.
        progress: show a progress bar.

    Returns:
        One row per (patch, question): `patch, question_id, domain, subject, n_choices, answer,
        predicted, correct, logprob_correct` (log of p(correct) normalised over the choices, in
        nats), `choice_mass` (probability of the choices together), and `logprob_0 …`: log p of
        each letter over the whole vocabulary, for `cloze` per token of the choice.

    Raises:
        RoleLensError: no questions or patches, a prompt longer than the context, a patch that
            doesn't fit the model.
    """
    if scoring == "generate":
        if examples:
            raise RoleLensError("examples are for letter and cloze scoring")
        return score_generated(
            model, questions, patches, generation, system=system, progress=progress
        )
    if not questions or not patches:
        raise RoleLensError("evaluate needs at least one question and one patch")
    multiple_choice = [question for question in questions if isinstance(question, Question)]
    if len(multiple_choice) < len(questions):
        raise RoleLensError(
            f"questions without choices are for scoring='generate', not {scoring!r}"
        )
    questions = multiple_choice
    candidates = [as_sequence(patch) for patch in patches.values()]
    for patch in (part for candidate in candidates for part in candidate):
        patch.check(model)
    items = tokenize_questions(
        model, questions, scoring=scoring, template=template, system=system, examples=examples
    )
    scorer = engine(model, items, token_budget(model, max_tokens))
    columns: list[dict[str, np.ndarray]] = [{} for _ in candidates]
    with tqdm(total=len(items) * len(patches), desc="questions", disable=not progress) as bar:
        for chunk in in_chunks(scorer, [(first_layer(c), form(c)) for c in candidates]):
            summed = scorer.logprobs([candidates[index] for index in chunk])
            for index, scores in zip(chunk, summed, strict=True):
                columns[index] = score_columns(scores, items, questions, scoring)
            bar.update(len(items) * len(chunk))
    tables = [
        describe(questions).assign(**scores).assign(patch=name)
        for name, scores in zip(patches, columns, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["patch", *table.columns.drop("patch")]]


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Per patch: number of questions, accuracy beside chance, and for letters and cloze mean
    log p(correct) and choice mass, for generated answers the shares that were truncated and that
    could not be read."""
    table = table.assign(chance=1 / table["n_choices"])
    means = {"accuracy": "correct", "chance": "chance"}
    if "text" in table.columns:
        table["unreadable"] = ~table["readable"]
        means |= {"truncated": "truncated", "unreadable": "unreadable"}
    else:
        means |= {"logprob_correct": "logprob_correct", "choice_mass": "choice_mass"}
    by_patch = table.groupby("patch", sort=False)
    columns = {name: by_patch[column].mean() for name, column in means.items()}
    return pd.DataFrame({"n": by_patch.size(), **columns}).reset_index()


def describe(questions: Sequence[Question]) -> pd.DataFrame:
    """Columns `question_id, domain, subject, n_choices, answer`, a row per question."""
    return pd.DataFrame(
        {
            "question_id": [question.id for question in questions],
            "domain": [question.domain for question in questions],
            "subject": [question.subject for question in questions],
            "n_choices": [len(question.choices) for question in questions],
            "answer": [question.answer for question in questions],
        }
    )


def score_columns(
    summed: Float[Tensor, "item choice"],
    items: Sequence[Item],
    questions: Sequence[Question],
    scoring: Scoring,
) -> dict[str, np.ndarray]:
    """Columns `predicted, correct, logprob_correct, choice_mass, logprob_0 …` of `evaluate`.

    Args:
        summed: log-likelihood of each choice's tokens, NaN where there is no choice.
    """
    likelihood = summed.double().numpy()
    answers = np.array([question.answer for question in questions])
    scores = likelihood
    if scoring == "cloze":
        lengths = np.full(likelihood.shape, np.nan)
        for row, item in enumerate(items):
            lengths[row, : len(item.continuations)] = [len(c) for c in item.continuations]
        scores = likelihood / lengths
    predicted = np.nanargmax(scores, axis=1)
    correct = np.take_along_axis(scores, answers[:, None], axis=1)[:, 0]
    total = np.logaddexp.reduce(np.where(np.isnan(scores), -np.inf, scores), axis=1)
    return {
        "predicted": predicted,
        "correct": predicted == answers,
        "logprob_correct": correct - total,
        "choice_mass": np.nansum(np.exp(likelihood), axis=1),
        **{f"logprob_{i}": scores[:, i] for i in range(scores.shape[1])},
    }
