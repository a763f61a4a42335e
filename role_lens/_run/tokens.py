"""Turns prompts into tokens by the chat template, and tokens into padded batches.

    batch = pad_left(model, encode_chat(model, ["Tea?", "What time is it?"]), range(2))

It also finds the post-instruction tokens: those that the chat template puts after every
instruction, where prompts of any content can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from role_lens.errors import RoleLensError
from role_lens.models import Model

# Endings that a tokenizer might merge with the template's first tokens.
_ENDINGS = ("a", "7", "?", ".", "!", ")", '"', "…")


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded token sequences. Row i is sequence `index[i]` of the list that was batched."""

    tokens: Int[Tensor, "batch pos"]
    mask: Int[Tensor, "batch pos"]
    """1 where there is a token, 0 on the padding."""
    index: tuple[int, ...]


def has_chat_template(model: Model) -> bool:
    """Whether the tokenizer brings a chat template (base models usually don't)."""
    return bool(getattr(model.tokenizer, "chat_template", None))


def chat_text(model: Model, prompt: str, system: str | None = None) -> str:
    r"""Format a prompt as one user turn, up to where the assistant's answer begins.

    The tokenizer's own chat template is used; where it has none, the plain format `User:
    …\n\nAssistant:`.

    Args:
        system: system message; None for the template's own default.

    Raises:
        RoleLensError: the template refuses the conversation (some take no system message), or
            leaves the system message out.

    Examples:
        >>> chat_text(model, "Tea?")
        '<|start|>user\nTea?<|end|>\n<|start|>assistant\n'
    """
    if not has_chat_template(model):
        head = f"{system}\n\n" if system is not None else ""
        return f"{head}User: {prompt}\n\nAssistant:"
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages.append({"role": "user", "content": prompt})
    try:
        text = model.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # jinja's own errors and whatever a template raises
        raise RoleLensError(f"the chat template refuses this conversation: {error}") from error
    if system is not None and system.strip() not in text:
        raise RoleLensError("the chat template leaves system messages out: ask without one")
    return text


def encode_chat(model: Model, prompts: Sequence[str], system: str | None = None) -> list[list[int]]:
    """Token ids of each prompt, formatted as one user turn by `chat_text`.

    Raises:
        RoleLensError: an empty list, an empty prompt, or one longer than the model's context.

    Examples:
        >>> [len(ids) for ids in encode_chat(model, ["Tea?", "Lunch!"])]
        [23, 25]
    """
    if isinstance(prompts, str):  # or its letters would be taken for prompts
        raise RoleLensError(f"expected a list of prompts, got the string {prompts[:60]!r}")
    if not prompts:
        raise RoleLensError("expected at least one prompt, got an empty list")
    sequences = []
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt, str) or not prompt.strip():
            raise RoleLensError(f"prompt {number} is empty: {prompt!r}")
        if any("\ud800" <= character <= "\udfff" for character in prompt):
            raise RoleLensError(f"prompt {number} holds a lone surrogate: {prompt[:60]!r}")
        ids = encode_text(
            model, chat_text(model, prompt, system), special=not has_chat_template(model)
        )
        check_length(model, len(ids), prompt)
        sequences.append(ids)
    return sequences


def encode_text(model: Model, text: str, *, special: bool) -> list[int]:
    """Token ids of a text.

    Args:
        special: let the tokenizer add its own special tokens, but no second BOS token and no EOS
            token.
    """
    ids = list(model.tokenizer(text, add_special_tokens=special)["input_ids"])
    bos, eos = model.tokenizer.bos_token_id, model.tokenizer.eos_token_id
    if special and len(ids) > 1 and ids[0] == ids[1] == bos:
        ids = ids[1:]
    if special and len(ids) > 1 and ids[-1] == eos:  # what follows must continue the text
        ids = ids[:-1]
    return ids


def check_length(model: Model, length: int, prompt: str, *, following: int = 0) -> None:
    """Raise a RoleLensError if a prompt, with the tokens that are to follow it, exceeds the
    context."""
    if length + following > model.cfg.n_ctx:
        more = f" and {following} are to follow" if following else ""
        raise RoleLensError(
            f"a prompt takes {length} tokens{more}, more than the model's context of "
            f"{model.cfg.n_ctx}: {prompt[:60]!r}…"
        )


def post_instruction_tokens(model: Model, system: str | None = None) -> list[int]:
    """The tokens that follow the instruction in every formatted prompt.

    Found by formatting prompts that end in different characters and taking the longest common
    suffix, so that no token into which part of an instruction was merged is counted. Empty where
    the template puts nothing fixed there.
    """
    probes = encode_chat(model, [f"Word {ending}" for ending in _ENDINGS], system)
    suffix: list[int] = []
    for column in zip(*(reversed(ids) for ids in probes), strict=False):
        if len(set(column)) > 1:
            break
        suffix.insert(0, column[0])
    return suffix


def check_post_instruction(
    sequences: Sequence[Sequence[int]], suffix: Sequence[int], prompts: Sequence[str]
) -> None:
    """Raise a RoleLensError unless every sequence ends with the post-instruction tokens."""
    for ids, prompt in zip(sequences, prompts, strict=True):
        if suffix and list(ids[-len(suffix) :]) != list(suffix):
            raise RoleLensError(
                "the tokens after the instruction are not the same for every prompt, so "
                f"positions can't be compared: {prompt[-60:]!r} ends in {ids[-len(suffix) :]}, "
                f"expected {list(suffix)}"
            )


def pad_left(model: Model, sequences: Sequence[Sequence[int]], index: Sequence[int]) -> Batch:
    """One batch on the model's device, padded so that all sequences end in the last column."""
    return _padded(model, sequences, index, left=True)


def pad_right(model: Model, sequences: Sequence[Sequence[int]], index: Sequence[int]) -> Batch:
    """One batch on the model's device, padded so that all sequences begin in the first column."""
    return _padded(model, sequences, index, left=False)


def _padded(
    model: Model, sequences: Sequence[Sequence[int]], index: Sequence[int], *, left: bool
) -> Batch:
    width = max(len(ids) for ids in sequences)
    pad = model.tokenizer.pad_token_id
    pad = pad if pad is not None else (model.tokenizer.eos_token_id or 0)
    tokens = torch.full((len(sequences), width), pad, dtype=torch.long)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, ids in enumerate(sequences):
        columns = slice(width - len(ids), width) if left else slice(0, len(ids))
        tokens[row, columns] = torch.tensor(ids, dtype=torch.long)
        mask[row, columns] = 1
    device = model.cfg.device
    return Batch(tokens.to(device), mask.to(device), tuple(index))


def common_prefix_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences begin with in common."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((n for n, (x, y) in pairs if x != y), min(len(a), len(b)))
