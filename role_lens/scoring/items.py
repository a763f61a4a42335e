"""Questions as tokens: the prompt, and for each choice the tokens that stand for it.

Knows the layouts of letter and cloze scoring, not what is done with the tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from role_lens._run.tokens import chat_text, check_length, encode_text, has_chat_template
from role_lens.errors import RoleLensError
from role_lens.models import Model
from role_lens.questions.question import LETTERS, Question, Template, question_text
from role_lens.questions.splits import without_repeats

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
        RoleLensError: an unknown scoring, a question without examples of its subject or among
            them, a prompt longer than the context.
    """
    if scoring not in get_args(Scoring):
        raise RoleLensError(f"scoring must be one of {get_args(Scoring)}, got {scoring!r}")
    items = []
    for question in questions:
        shots = [example for example in examples if example.subject == question.subject]
        if examples and not shots:
            raise RoleLensError(
                f"question {question.id}: none of the examples is of its subject, "
                f"{question.subject!r}"
            )
        if len(without_repeats(shots, [question])) < len(shots):
            raise RoleLensError(
                f"question {question.id} is one of the examples, with its answer: ask others"
            )
        text = _text(question, shots, scoring, template, bare=has_chat_template(model))
        answers = _answers(question, scoring)
        items.append(_item(model, text, answers, system, question))
    return items


def _text(
    question: Question,
    examples: Sequence[Question],
    scoring: Scoring,
    template: Template,
    *,
    bare: bool,
) -> str:
    """The examples with their answers, and the question. A cloze question in a chat stands bare,
    unless examples show another form."""

    def ask(asked: Question) -> str:
        if scoring == "letter":
            return question_text(asked, template)
        return f"Question: {asked.question}\nAnswer:"

    if scoring == "cloze" and bare and not examples:
        return question.question
    shots = [f"{ask(e)} {_answers(e, scoring)[e.answer]}" for e in examples]
    return "\n\n".join([*shots, ask(question)])


def _answers(question: Question, scoring: Scoring) -> Sequence[str]:
    return LETTERS[: len(question.choices)] if scoring == "letter" else question.choices


def _item(
    model: Model, text: str, answers: Sequence[str], system: str | None, question: Question
) -> Item:
    chat = has_chat_template(model)
    if chat:
        text = chat_text(model, text, system)
    else:
        text = f"{system}\n\n{text}" if system is not None else text
        answers = [f" {answer}" for answer in answers]
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
