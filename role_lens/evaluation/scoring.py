"""Score multiple-choice questions under patches: by letter or by the text of the choices.

Knows questions, patches and token likelihoods, not roles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from role_lens.errors import RoleLensError
from role_lens.evaluation.questions import LETTERS, Question, Template, question_text
from role_lens.forward import last_logits
from role_lens.models import Model
from role_lens.patches import Patches, TokenWindow, as_sequence, attached
from role_lens.tokens import (
    batches,
    chat_text,
    check_length,
    encode_text,
    has_chat_template,
)

Scoring = Literal["letter", "cloze"]


@dataclass(frozen=True)
class _Item:
    """A tokenised question: its prompt and, for each choice, the tokens that stand for it."""

    prompt: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]


@torch.inference_mode()
def evaluate(
    model: Model,
    questions: Sequence[Question],
    patches: Mapping[str, Patches],
    *,
    scoring: Scoring = "letter",
    template: Template = "paper",
    system: str | None = None,
    max_tokens: int = 2048,
    progress: bool = True,
) -> pd.DataFrame:
    """Score every question under every patch.

    - `letter`: the question with its lettered choices, and the log-probability of each letter as
      the first answer token (arXiv 2502.12055, section 4). Models with a chat template get one
      user turn and bare letters; base models get the text itself and letters after a space.
      Letters that are not single tokens are scored as sequences.
    - `cloze`: the question alone, and the log-likelihood of each choice's text as the answer,
      divided by its number of tokens (Brown et al. 2020, arXiv 2005.14165, section 2.4).

    Args:
        patches: name -> patch, several patches, or None for the unchanged model.
        template: layout of the question for `letter`.
        system: system message; None for the chat template's own default.
        max_tokens: most tokens in a batch, padding included.
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
    if scoring not in get_args(Scoring):
        raise RoleLensError(f"scoring must be one of {get_args(Scoring)}, got {scoring!r}")
    if not questions or not patches:
        raise RoleLensError("evaluate needs at least one question and one patch")
    for patch in patches.values():
        for part in as_sequence(patch):
            part.check(model)
    items = [
        _letter_item(model, question, template, system)
        if scoring == "letter"
        else _cloze_item(model, question, system)
        for question in questions
    ]
    tables = []
    with tqdm(total=len(items) * len(patches), desc="questions", disable=not progress) as bar:
        for name, patch in patches.items():
            totals = _choice_logprobs(model, items, patch, max_tokens, bar)
            tables.append(_table(name, questions, items, totals, scoring))
    return pd.concat(tables, ignore_index=True)


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Per patch: number of questions, accuracy beside chance, mean log p(correct), choice mass."""
    chance = (1 / table["n_choices"]).rename("chance")
    return (
        table.assign(chance=chance)
        .groupby("patch", sort=False)
        .agg(
            n=("correct", "size"),
            accuracy=("correct", "mean"),
            chance=("chance", "mean"),
            logprob_correct=("logprob_correct", "mean"),
            choice_mass=("choice_mass", "mean"),
        )
        .reset_index()
    )


def _letter_item(model: Model, question: Question, template: Template, system: str | None) -> _Item:
    text = question_text(question, template)
    letters = LETTERS[: len(question.choices)]
    if has_chat_template(model):
        return _item(model, chat_text(model, text, system), list(letters), question, chat=True)
    plain = f"{system}\n\n{text}" if system is not None else text
    return _item(model, plain, [f" {letter}" for letter in letters], question, chat=False)


def _cloze_item(model: Model, question: Question, system: str | None) -> _Item:
    if has_chat_template(model):
        text = chat_text(model, question.question, system)
        return _item(model, text, list(question.choices), question, chat=True)
    head = f"{system}\n\n" if system is not None else ""
    text = f"{head}Question: {question.question}\nAnswer:"
    return _item(model, text, [f" {choice}" for choice in question.choices], question, chat=False)


def _item(
    model: Model, text: str, answers: Sequence[str], question: Question, *, chat: bool
) -> _Item:
    prompt = encode_text(model, text, special=not chat)
    continuations = []
    for answer in answers:
        whole = encode_text(model, text + answer, special=not chat)
        # Where the tokenizer merges across the boundary, the answer is tokenised by itself.
        kept = whole[: len(prompt)] == prompt and len(whole) > len(prompt)
        tokens = whole[len(prompt) :] if kept else encode_text(model, answer, special=False)
        continuations.append(tuple(tokens))
    check_length(model, len(prompt), question.question, following=max(map(len, continuations)) - 1)
    return _Item(tuple(prompt), tuple(continuations))


def _choice_logprobs(
    model: Model, items: Sequence[_Item], patch: Patches, max_tokens: int, bar: tqdm
) -> list[list[float]]:
    """Log-likelihood of each choice's tokens, for every item."""
    # Choices of one token each are all read off one pass over the prompt.
    single = [all(len(tokens) == 1 for tokens in item.continuations) for item in items]
    jobs: list[tuple[int, tuple[tuple[int, ...], ...]]] = []
    for number, item in enumerate(items):
        if single[number]:
            jobs.append((number, item.continuations))
        else:
            jobs += [(number, (tokens,)) for tokens in item.continuations]
    # The last token of a continuation predicts nothing that is scored.
    sequences = [[*items[number].prompt, *tokens[0][:-1]] for number, tokens in jobs]
    scores: list[list[float]] = [[] for _ in jobs]
    for batch in batches(model, sequences, max_tokens=max_tokens):
        columns = max(len(jobs[i][1][0]) for i in batch.index)
        width = batch.tokens.shape[1]
        ends = torch.tensor([width - len(jobs[i][1][0]) + 1 for i in batch.index])
        window = TokenWindow(ends.to(batch.tokens.device))
        with attached(model, patch, window):
            logits = last_logits(model, batch, columns)
        logprobs = logits.float().log_softmax(dim=-1).cpu()
        for row, i in enumerate(batch.index):
            scores[i] = _read(logprobs[row], jobs[i][1])
        bar.update(sum(len(jobs[i][1]) / len(items[jobs[i][0]].continuations) for i in batch.index))
    results: list[list[float]] = [[] for _ in items]
    for (number, _), values in zip(jobs, scores, strict=True):
        results[number] += values
    return results


def _read(
    logprobs: Float[Tensor, "columns d_vocab"], continuations: Sequence[Sequence[int]]
) -> list[float]:
    """Summed log-probability of each continuation, all of one length, at the last columns."""
    length = len(continuations[0])
    steps = torch.arange(logprobs.shape[0] - length, logprobs.shape[0])
    return [float(logprobs[steps, torch.tensor(tokens)].sum()) for tokens in continuations]


def _table(
    name: str,
    questions: Sequence[Question],
    items: Sequence[_Item],
    totals: Sequence[Sequence[float]],
    scoring: Scoring,
) -> pd.DataFrame:
    rows = []
    for question, item, total in zip(questions, items, totals, strict=True):
        summed = torch.tensor(total, dtype=torch.float64)
        lengths = torch.tensor([len(tokens) for tokens in item.continuations])
        scores = summed / lengths if scoring == "cloze" else summed
        predicted = int(scores.argmax())
        rows.append(
            {
                "patch": name,
                "question_id": question.id,
                "domain": question.domain,
                "subject": question.subject,
                "n_choices": len(question.choices),
                "answer": question.answer,
                "predicted": predicted,
                "correct": predicted == question.answer,
                "logprob_correct": float(scores.log_softmax(dim=-1)[question.answer]),
                "choice_mass": float(summed.exp().sum()),
                **{f"logprob_{i}": float(score) for i, score in enumerate(scores)},
            }
        )
    return pd.DataFrame(rows)
