"""Questions as tokens: the prompt, and for each choice the tokens that stand for it.

Knows the layouts of letter and cloze scoring, not what is done with the tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from role_lens.errors import RoleLensError
from role_lens.evaluation.questions import LETTERS, Question, Template, question_text
from role_lens.models import Model
from role_lens.tokens import chat_text, check_length, encode_text, has_chat_template

Scoring = Literal["letter", "cloze"]


@dataclass(frozen=True)
class Item:
    """A tokenised question."""

    prompt: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    """For each choice, the tokens that are scored after the prompt."""


def tokenize_questions(
    model: Model,
    questions: Sequence[Question],
    *,
    scoring: Scoring,
    template: Template = "paper",
    system: str | None = None,
    examples: Sequence[Question] = (),
) -> list[Item]:
    """Tokens of each question; see `evaluate` for what the arguments mean.

    Raises:
        RoleLensError: an unknown scoring, a question without examples of its subject, a prompt
            longer than the context.
    """
    if scoring not in get_args(Scoring):
        raise RoleLensError(f"scoring must be one of {get_args(Scoring)}, got {scoring!r}")
    layout = _letter_item if scoring == "letter" else _cloze_item
    items = []
    for question in questions:
        shots = [example for example in examples if example.subject == question.subject]
        if examples and not shots:
            raise RoleLensError(
                f"question {question.id}: none of the examples is of its subject, "
                f"{question.subject!r}"
            )
        items.append(layout(model, question, template, system, shots))
    return items


def _letter_item(
    model: Model,
    question: Question,
    template: Template,
    system: str | None,
    examples: Sequence[Question],
) -> Item:
    letters = LETTERS[: len(question.choices)]
    shots = [f"{question_text(e, template)} {LETTERS[e.answer]}" for e in examples]
    text = "\n\n".join([*shots, question_text(question, template)])
    if has_chat_template(model):
        return _item(model, chat_text(model, text, system), list(letters), question, chat=True)
    plain = f"{system}\n\n{text}" if system is not None else text
    return _item(model, plain, [f" {letter}" for letter in letters], question, chat=False)


def _cloze_item(
    model: Model,
    question: Question,
    template: Template,
    system: str | None,
    examples: Sequence[Question],
) -> Item:
    shots = [f"Question: {e.question}\nAnswer: {e.choices[e.answer]}" for e in examples]
    if has_chat_template(model):
        text = chat_text(model, "\n\n".join([*shots, question.question]), system)
        return _item(model, text, list(question.choices), question, chat=True)
    head = [system] if system is not None else []
    text = "\n\n".join([*head, *shots, f"Question: {question.question}\nAnswer:"])
    return _item(model, text, [f" {choice}" for choice in question.choices], question, chat=False)


def _item(
    model: Model, text: str, answers: Sequence[str], question: Question, *, chat: bool
) -> Item:
    prompt = encode_text(model, text, special=not chat)
    continuations = []
    for answer in answers:
        whole = encode_text(model, text + answer, special=not chat)
        # Where the tokenizer merges across the boundary, the answer is tokenised by itself.
        kept = whole[: len(prompt)] == prompt and len(whole) > len(prompt)
        tokens = whole[len(prompt) :] if kept else encode_text(model, answer, special=False)
        continuations.append(tuple(tokens))
    check_length(model, len(prompt), question.question, following=max(map(len, continuations)) - 1)
    return Item(tuple(prompt), tuple(continuations))
