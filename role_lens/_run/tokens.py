"""Turns formatted prompts into tokens, and tokens into padded batches.

    batch = pad_left(model, encode_chat(model, ["Tea?", "What time is it?"]), range(2))

It also finds the post-instruction tokens: those that the chat template puts after every
instruction, where prompts of any content can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from role_lens.chat import assistant_turn, chat_text, has_chat_template, token_ids
from role_lens.conversation import Prompt, asked_list, last_said
from role_lens.errors import RoleLensError, TooLongError
from role_lens.models import Model, check_model, is_bridge

# Endings that a tokenizer might merge with the template's first tokens.
_ENDINGS = ("a", "7", "?", ".", "!", ")", '"', "…")


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded token sequences. Row i is sequence `index[i]` of the list that was batched."""

    tokens: Int[Tensor, "batch pos"]
    mask: Int[Tensor, "batch pos"]
    """1 where there is a token, 0 on the padding."""
    index: tuple[int, ...]


def encode_chat(
    model: Model, prompts: Sequence[Prompt], system: str | None = None
) -> list[list[int]]:
    """Token ids of each prompt, formatted as one user turn by `chat_text`, and of each
    conversation, up to where the answer to its last message begins.

    Args:
        system: system message; None for the chat template's own default. A conversation that has
            its own keeps it.

    Raises:
        RoleLensError: an empty list, an empty prompt, or one longer than the model's context.

    Examples:
        >>> [len(ids) for ids in encode_chat(model, ["Tea?", "Lunch!"])]
        [23, 25]
    """
    check_model(model)
    chat = has_chat_template(model)
    sequences = []
    for number, prompt in enumerate(asked_list(prompts)):
        if not last_said(prompt).strip():
            raise RoleLensError(f"prompt {number} is empty: {prompt!r}")
        ids = encode_text(model, formatted(model, prompt, system), special=not chat)
        check_length(model, len(ids), last_said(prompt))
        sequences.append(ids)
    return sequences


def formatted(model: Model, prompt: Prompt, system: str | None = None) -> str:
    """A prompt or a conversation as the chat template formats it, up to where the answer begins."""
    if isinstance(prompt, str):
        return chat_text(model, prompt, system)
    own = system if prompt.system is None else prompt.system
    return chat_text(model, last_said(prompt), own, prompt.turns)


def encode_begun(
    model: Model, prompts: Sequence[Prompt], begun: Sequence[str], system: str | None = None
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of prompts as `encode_chat` has them, and of how the answer to each begins.

    What the template writes before an answer in the assistant's own turn stands before it. Where
    the tokenizer joins the two, the last token of the prompt goes with the answer.

    Raises:
        RoleLensError: as `encode_chat`.
    """
    turn, chat = assistant_turn(model, system), has_chat_template(model)
    sequences = encode_chat(model, prompts, system)
    answers: list[list[int]] = []
    for i, (prompt, answer) in enumerate(zip(prompts, begun, strict=True)):
        if not answer:
            answers.append([])
            continue
        text = formatted(model, prompt, system) + (turn.header if chat else "")
        lead = turn.lead if chat else " "
        sequences[i], (one,) = encode_continuations(model, text, [lead + answer], special=not chat)
        answers.append(one)
    return sequences, answers


def encode_text(model: Model, text: str, *, special: bool) -> list[int]:
    """Token ids of a text.

    Args:
        special: let the tokenizer add its own special tokens, but no second BOS token and no EOS
            token.

    Raises:
        RoleLensError: as `token_ids`, and a token for which the model has no embedding.
    """
    ids = token_ids(model, text, special=special)
    bos, eos = model.tokenizer.bos_token_id, model.tokenizer.eos_token_id
    if special and len(ids) > 1 and ids[0] == ids[1] == bos:
        ids = ids[1:]
    if special and len(ids) > 1 and ids[-1] == eos:  # what follows must continue the text
        ids = ids[:-1]
    last, n = max(ids, default=0), n_embeddings(model)
    if last >= n:
        raise RoleLensError(
            f"{text[:60]!r} holds token {last} ({model.tokenizer.decode([last])!r}), but the model "
            f"has embeddings for tokens 0 to {n - 1} only: resize its embedding, or leave it out"
        )
    return ids


def encode_continuations(
    model: Model, text: str, continuations: Sequence[str], *, special: bool
) -> tuple[list[int], list[list[int]]]:
    """Token ids of a text, and of each continuation as the tokenizer makes them after that text.

    Where the tokenizer joins the end of the text with a continuation, the last tokens of the text
    go with all continuations.

    Args:
        special: as in `encode_text`.
    """
    alone = encode_text(model, text, special=special)
    wholes = [encode_text(model, text + one, special=special) for one in continuations]
    kept = min(min(common_prefix_length(alone, one), len(one) - 1) for one in wholes)
    if kept < 1:  # something has to come before what is scored
        return alone, [encode_text(model, one, special=False) for one in continuations]
    return alone[:kept], [whole[kept:] for whole in wholes]


def stop_token_ids(model: Model, system: str | None = None) -> set[int]:
    """Tokens that end an answer: those that tokenizer and generation config name, and the special
    token with which the chat template ends the assistant's turn.

    Args:
        system: as in `encode_chat`; some templates refuse conversations without one.
    """
    tokenizer = model.tokenizer
    config = getattr(model.original_model, "generation_config", None) if is_bridge(model) else None
    named = getattr(config, "eos_token_id", None)
    stops = [tokenizer.eos_token_id, *([named] if isinstance(named, int) else named or ())]
    special = {*tokenizer.all_special_ids}
    # Some tokenizers have runs of spaces among their added tokens.
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special |= {token for token, written in added.items() if str(written).strip()}
    tail = token_ids(model, assistant_turn(model, system).tail)
    stops.append(next((token for token in tail if token in special), None))
    return {token for token in stops if token is not None}


def n_embeddings(model: Model) -> int:
    """How many tokens have an embedding; the tokenizer may have more or fewer."""
    if is_bridge(model):
        hf_model: Any = model.original_model
        return int(hf_model.get_input_embeddings().weight.shape[0])
    return int(model.W_E.shape[0])


def check_length(model: Model, length: int, prompt: str, *, following: int = 0) -> None:
    """Raise a TooLongError if a prompt, with the tokens that are to follow it, exceeds the
    context."""
    if length + following > model.cfg.n_ctx:
        more = f" and {following} are to follow" if following else ""
        raise TooLongError(
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
    named = (model.tokenizer.pad_token_id, model.tokenizer.eos_token_id)
    # Under the mask any token will do that has an embedding.
    pad = next((one for one in named if one is not None and one < n_embeddings(model)), 0)
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
