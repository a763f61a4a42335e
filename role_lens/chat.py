"""Formats conversations by the chat template of a model's tokenizer.

    chat_text(model, "Tea?")      # up to where the assistant's answer begins
    assistant_turn(model)         # what the template writes around an answer

A model may carry arguments for its template (`load_model(..., chat_template_kwargs={...})`), such
as `enable_thinking`. Where a template prints today's date, a fixed one is printed: prompts of
today and of tomorrow are then the same.
"""

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from jinja2 import Environment, TemplateError
from jinja2.meta import find_undeclared_variables

from role_lens.checks import string
from role_lens.errors import RoleLensError, first_line
from role_lens.values import plain, shown

if TYPE_CHECKING:
    from role_lens.models import Model

DATE = datetime.datetime(2024, 7, 26)
"""The date that templates print in the place of today's: the one that Llama 3.2's template itself
prints where it can't ask for today's."""

Message = dict[str, str]

# What this file sets itself, or `apply_chat_template` doesn't pass on to the template.
_RESERVED = {
    *("messages", "conversation", "tools", "documents", "chat_template", "add_generation_prompt"),
    *("continue_final_message", "tokenize", "padding", "truncation", "max_length"),
    *("return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"),
    *("strftime_now", "raise_exception"),
}
_OPENED = re.compile(r"<\|?(?:think|thinking|thought|reasoning)\|?>\s*$", re.IGNORECASE)
_REASONING = re.compile(r"think|thought|reasoning", re.IGNORECASE)
# Formats of dates in a template: what its function for today's date is called with, and other
# strings that look like one.
_FORMATS = re.compile(
    r"""strftime_now\(\s*(['"])(.*?)\1|(['"])([^'"{}\n]*%[A-Za-z-][^'"{}\n]*)\3"""
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_PROMPT, _ANSWER = "Word", "Zebra"

_kwargs: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


@dataclass(frozen=True)
class AssistantTurn:
    """What the chat template writes around an answer, in the assistant's own turn."""

    header: str = ""
    """What else comes between `chat_text` and the answer, such as gpt-oss's channel."""
    lead: str = ""
    """White space before the answer, as after Mistral's `[/INST]`."""
    tail: str = ""
    """What follows the answer, such as `<|im_end|>`."""
    after_thinking: bool = False
    """Whether the template puts reasoning, if only an empty block, between `chat_text` and the
    answer."""


def has_chat_template(model: "Model") -> bool:
    """Whether the tokenizer brings a chat template (base models usually don't)."""
    return bool(getattr(model.tokenizer, "chat_template", None))


def use_template_kwargs(model: "Model", kwargs: Mapping[str, Any]) -> None:
    """Let a model's chat template have arguments from now on, in the place of earlier ones.

    Raises:
        RoleLensError: there is no chat template, or it doesn't use an argument of this name.
    """
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise RoleLensError(
            "chat_template_kwargs must be a mapping of names to values, such as "
            f"{{'enable_thinking': False}}, got {shown(kwargs)}"
        )
    if kwargs and not has_chat_template(model):
        raise RoleLensError(
            f"the model has no chat template that could take {', '.join(map(repr, kwargs))}"
        )
    used = _variables(template_source(model))
    for name in kwargs:
        if name in _RESERVED:
            raise RoleLensError(f"chat_template_kwargs can't set {name!r}: it is set already")
        if name not in used:
            raise RoleLensError(
                f"the chat template doesn't use {name!r}: check the spelling, or leave it out"
            )
    plain_kwargs = {name: plain(value) for name, value in kwargs.items()}
    try:
        json.dumps(plain_kwargs, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RoleLensError(
            f"chat_template_kwargs must be JSON values, got {shown(kwargs)}"
        ) from error
    _kwargs[model] = plain_kwargs


def template_kwargs(model: "Model") -> dict[str, Any]:
    """The arguments of a model's chat template, beside the conversation."""
    return dict(_kwargs.get(model, {}))


def template_record(model: "Model") -> dict[str, Any]:
    """What prompts depend on beside the template's text, as JSON values: its arguments, and the
    date that it prints. What there isn't is left out."""
    record: dict[str, Any] = {}
    if kwargs := template_kwargs(model):
        record["chat_template_kwargs"] = kwargs
    if has_chat_template(model) and _prints_date(model):
        record["chat_template_date"] = DATE.date().isoformat()
    return record


TEMPLATE_KEYS = ("chat_template_kwargs", "chat_template_date")
"""The keys of `template_record`."""


def template_identity(model: "Model") -> dict[str, Any]:
    """The same for run folders, with None for what there isn't: so that a folder of prompts with
    arguments is told from one of prompts without."""
    return {**dict.fromkeys(TEMPLATE_KEYS), **template_record(model)}


def template_source(model: "Model") -> str:
    """The text of the chat template, empty where there is none.

    Raises:
        RoleLensError: there are several, and none is the default.
    """
    found = getattr(model.tokenizer, "chat_template", None) or ""
    if isinstance(found, str):
        return found
    if "default" not in found:
        raise RoleLensError(
            f"the tokenizer has several chat templates ({', '.join(found)}) and none is called "
            "'default': set tokenizer.chat_template to one of them"
        )
    return str(found["default"])


def bound_template(model: "Model") -> str | None:
    """The chat template with the model's own arguments and the fixed date written into it; None
    where there is no template."""
    source = template_source(model)
    head = "".join(f"{{%- set {n} = {v!r} +%}}" for n, v in template_kwargs(model).items())
    if _prints_date(model):
        formats = {found[2] or found[4] for found in _FORMATS.finditer(source)}
        dates = {one: DATE.strftime(one) for one in sorted(formats)}
        # In the place of the function that tells the date.
        head += (
            f"{{%- macro strftime_now(format) -%}}{{{{ {dates!r}[format] if format in {dates!r} "
            "else raise_exception('a date is printed in a format that the template makes up') }}"
            "{%- endmacro +%}"
        )
    return head + source if source else None


def chat_text(
    model: "Model",
    prompt: str,
    system: str | None = None,
    earlier: Sequence[tuple[str, str]] = (),
) -> str:
    r"""Format a prompt as one user turn, up to where the assistant's answer begins.

    The tokenizer's own chat template is used; where it has none, the plain format `User:
    …\n\nAssistant:`. Spaces at the end that the tokenizer makes part of an answer's first token are
    left to the answer.

    Args:
        system: system message; None for the template's own default.
        earlier: turns before it, each a prompt with its answer.

    Raises:
        RoleLensError: the template refuses the conversation (some take no system message), or
            leaves a prompt, an answer or the system message out.

    Examples:
        >>> chat_text(model, "Tea?")
        '<|start|>user\nTea?<|end|>\n<|start|>assistant\n'
    """
    if not hasattr(model, "tokenizer"):
        raise RoleLensError(f"expected a model that load_model gives, got {type(model).__name__}")
    prompt = string(prompt, "a prompt")
    system = None if system is None else string(system, "a system message")
    if not has_chat_template(model):
        head = f"{system}\n\n" if system is not None else ""
        turns = [f"User: {asked}\n\nAssistant: {answer}\n\n" for asked, answer in earlier]
        return f"{head}{''.join(turns)}User: {prompt}\n\nAssistant:"
    text = _formatted(model, prompt, system, earlier=earlier)
    return text.rstrip(" ") if text.endswith(" ") and _merges(model, text) else text


def assistant_turn(model: "Model", system: str | None = None) -> AssistantTurn:
    """What the template writes around an answer, found from its own assistant turn.

    Without a chat template, and where the template takes no answers, there is nothing.

    Raises:
        RoleLensError: as `chat_text`.
    """
    if not has_chat_template(model):
        return AssistantTurn(lead=" ")
    before = chat_text(model, _PROMPT, system)
    try:
        whole = _formatted(model, _PROMPT, system, _ANSWER)
    except RoleLensError:  # a template that leaves answers to the model
        return AssistantTurn()
    head, found, tail = whole.rpartition(_ANSWER)
    if not found or not head.startswith(before):
        return AssistantTurn(tail=tail if found else "")
    lead = head[len(before) :]
    if not lead.strip():
        return AssistantTurn(lead=lead, tail=tail)
    if _REASONING.search(lead):
        return AssistantTurn(tail=tail, after_thinking=True)
    return AssistantTurn(header=lead, tail=tail)


def token_ids(model: "Model", text: str, *, special: bool = False) -> list[int]:
    """Ids of a text's tokens, as the tokenizer gives them.

    Args:
        special: let the tokenizer add its own special tokens.

    Raises:
        RoleLensError: the model has no tokenizer, or the text holds half of a character.
    """
    if model.tokenizer is None:
        raise RoleLensError(
            "the model has no tokenizer, without which it can't be asked: build it with one, "
            "tokenizer=..."
        )
    if lone := _LONE_SURROGATE.search(text):
        around = text[max(0, lone.start() - 30) : lone.end() + 10]
        raise RoleLensError(
            f"a text holds a lone surrogate, which is half of a character: {around!r}; leave it out"
        )
    return list(model.tokenizer(text, add_special_tokens=special)["input_ids"])


def opens_thinking(text: str) -> bool:
    """Whether a formatted prompt ends where reasoning begins, as some templates let it."""
    return _OPENED.search(text) is not None


def _formatted(
    model: "Model",
    prompt: str,
    system: str | None,
    answer: str | None = None,
    earlier: Sequence[tuple[str, str]] = (),
) -> str:
    """The conversation as the template formats it, with its contents as strings, or as lists of
    parts where the template takes only these (those of models that see images do)."""
    messages: list[Message] = [{"role": "system", "content": system}] if system is not None else []
    for asked, answered in earlier:
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answered})
    messages.append({"role": "user", "content": prompt})
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    problem = ""
    for in_parts in (False, True):
        try:
            text = _rendered(model, messages, in_parts)
        except Exception as error:  # jinja's own errors and whatever a template raises
            problem = problem or f"refuses this conversation: {first_line(error)}"
            continue
        # Some templates print the parts as they are in Python.
        as_code = in_parts and "'type': 'text'" in text
        left_out = [one["role"] for one in messages if as_code or not _holds(text, one["content"])]
        if not left_out:
            return text
        if left_out == ["system"]:
            problem = "leaves system messages out: ask without one"
        elif not problem or "system messages" not in problem:
            problem = f"leaves the {left_out[-1]}'s message out, which is not in the text it makes"
    raise RoleLensError(f"the chat template {problem}")


def _rendered(model: "Model", messages: list[Message], in_parts: bool) -> str:
    conversation: list[dict[str, Any]] = list(messages)
    if in_parts:
        conversation = [
            {**one, "content": [{"type": "text", "text": one["content"]}]} for one in messages
        ]
    return str(
        model.tokenizer.apply_chat_template(
            conversation,
            tokenize=False,
            add_generation_prompt=messages[-1]["role"] == "user",
            chat_template=bound_template(model),
        )
    )


def _holds(text: str, content: str) -> bool:
    """Whether a text holds a message; templates may change the white space in it."""
    return content.strip() in text or "".join(content.split()) in "".join(text.split())


def _prints_date(model: "Model") -> bool:
    return "strftime_now" in template_source(model)


def _merges(model: "Model", begun: str) -> bool:
    """Whether the tokenizer joins the end of a formatted prompt, a space, with an answer's first
    token."""
    ids = token_ids(model, begun)
    return token_ids(model, begun + _ANSWER)[: len(ids)] != ids


def _variables(source: str) -> set[str]:
    """Names that a template looks up in what it is given.

    Raises:
        RoleLensError: it is no template of Jinja's.
    """
    # A tag of transformers's own, which marks the assistant's answers.
    plain_jinja = re.sub(r"\{%[-+]?\s*(end)?generation\s*[-+]?%\}", "", source)
    try:
        environment = Environment(extensions=["jinja2.ext.loopcontrols"])
        return find_undeclared_variables(environment.parse(plain_jinja))
    except TemplateError as error:
        raise RoleLensError(f"the chat template can't be read: {first_line(error)}") from error
