"""Turns questions into tokens: the prompt, and for each option the tokens that stand for it.

    item = tokenize_question(model, question, Asking(scoring="cloze"))
    item.continuations    # the tokens of each option's text

`Asker.ask` does this for many questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from role_lens._run.tokens import check_length, encode_continuations
from role_lens.chat import (
    AssistantTurn,
    assistant_turn,
    chat_text,
    has_chat_template,
    opens_thinking,
)
from role_lens.errors import RoleLensError, warn
from role_lens.models import Model
from role_lens.questions.question import Question
from role_lens.questions.splits import without_repeats
from role_lens.scoring.asking import Asking
from role_lens.scoring.method import METHODS, ScoringMethod


@dataclass(frozen=True)
class Item:
    """A tokenised question.

    Examples:
        >>> from role_lens.scoring import Asker
        >>> item = Asker(model, Asking(scoring="cloze")).ask(questions).items[0]
        >>> questions[0].choices, item.n_tokens    # to this model's tokenizer, a token is a byte
        (('a', 'bc'), [1, 2])
    """

    prompt: tuple[int, ...]
    """Token ids up to where the answer begins."""
    continuations: tuple[tuple[int, ...], ...]
    """For each option, the token ids that are scored after the prompt."""

    @property
    def n_tokens(self) -> list[int]:
        """How many tokens each option has."""
        return [len(tokens) for tokens in self.continuations]


def tokenize_question(model: Model, question: Question, asking: Asking) -> Item:
    """Tokens of a question.

    What the chat template writes before an answer in the assistant's own turn, such as a space, is
    part of each option. So letters and options have the tokens that the model would write.

    Warns:
        UserWarning: the options are scored where the model would begin to reason.

    Raises:
        RoleLensError: a scoring without options, a question that has no examples of its subject or
            is among the examples itself, or a prompt longer than the model's context.
    """
    method = METHODS[asking.scoring]
    shots = [example for example in asking.examples if example.subject == question.subject]
    if asking.examples and not shots:
        raise RoleLensError(
            f"question {question.id}: none of the examples is of its subject, {question.subject!r}"
        )
    if len(without_repeats(shots, [question])) < len(shots):
        raise RoleLensError(
            f"question {question.id} is one of the examples, with its answer: ask others"
        )
    chat = has_chat_template(model)
    turn = assistant_turn(model, asking.system)
    if chat:
        text = _conversation(model, method, question, shots, asking)
        _warn_of_thinking(text, turn)
        text += turn.header
    else:
        head = "" if asking.system is None else f"{asking.system}\n\n"
        text = head + _in_one(method, question, shots, asking)
    answers = [turn.lead + answer for answer in method.answers(question)]
    prompt, continuations = encode_continuations(model, text, answers, special=not chat)
    check_length(model, len(prompt), question.question, following=max(map(len, continuations)) - 1)
    return Item(tuple(prompt), tuple(map(tuple, continuations)))


def _warn_of_thinking(text: str, turn: AssistantTurn) -> None:
    """Say that options are scored where this model would begin to reason, if that is so."""
    if opens_thinking(text) or turn.after_thinking:
        where = "opens" if opens_thinking(text) else "puts answers after"
        warn(
            f"the chat template {where} a block of reasoning, and options are scored in its place: "
            "load the model with chat_template_kwargs={'enable_thinking': False} if its template "
            "has that, or use scoring='generate'"
        )


def _conversation(
    model: Model,
    method: ScoringMethod,
    question: Question,
    examples: Sequence[Question],
    asking: Asking,
) -> str:
    """The examples as turns that were answered, and the question as the next one.

    Small chat models are confused by examples in one turn with the question. A template that takes
    no answers gets them there all the same.

    Warns:
        UserWarning: the template takes no answers.
    """

    def ask(one: Question) -> str:
        return method.bare(one) if method.bare else method.ask(one, asking.template)

    earlier = [(ask(e), method.answers(e)[e.answer]) for e in examples]
    try:
        return chat_text(model, ask(question), asking.system, earlier)
    except RoleLensError as error:
        if not earlier:
            raise
        warn(f"examples stand in one turn with the question, since {error}")
    return chat_text(model, _in_one(method, question, examples, asking), asking.system)


def _in_one(
    method: ScoringMethod, question: Question, examples: Sequence[Question], asking: Asking
) -> str:
    """The examples with their answers, and the question, as one text."""
    ask = method.ask
    shots = [f"{ask(e, asking.template)} {method.answers(e)[e.answer]}" for e in examples]
    return "\n\n".join([*shots, ask(question, asking.template)])
