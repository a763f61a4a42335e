"""Tells which tokens a patch changes, in a padded batch and with a key-value cache.

    window = TokenWindow(prompt_end=torch.tensor([12, 12]))
    window.select("generated", width=20)    # True in columns 12 to 19

A mask is a name such as `all` or `answer`, or a span such as `prompt[1:4]`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from role_lens.errors import RoleLensError
from role_lens.patches.kind import MASKS
from role_lens.values import shown

TokenMask: TypeAlias = Annotated[str, "a token mask"]
"""Which tokens a patch changes:

- `all`;
- `prompt`, up to the last prompt token, and `generated`, those after it;
- `last`, only the last prompt token, from which the first token of an answer is predicted;
- `answer`, that one and all generated tokens: everything from which the answer is predicted;
- `not_first`, all but the first token of the text, whose residual stream is many times as long as
  the others' (an attention sink: Xiao et al. 2023, arXiv 2309.17453);
- a span, as Python cuts lists: `prompt[1:-2]` of the prompt's tokens, those of the chat template
  included, or `answer[:3]` of those of `answer`, which is counted from 0."""

_MEANINGS = {
    "all": "all tokens",
    "prompt": "the prompt's tokens, those of the chat template included",
    "generated": "the tokens after the prompt's last one",
    "last": "the prompt's last token",
    "answer": "the prompt's last token and all after it, from which an answer is predicted",
    "not_first": "all tokens but the first of the text",
}
_SPAN = re.compile(r"(prompt|answer)\[(-?\d{0,9}):(-?\d{0,9})\]")


def check_tokens(tokens: TokenMask) -> None:
    """Raise a RoleLensError unless `tokens` is a token mask."""
    if isinstance(tokens, str) and tokens in MASKS:
        return
    span = _span(tokens)
    if span is None:
        raise RoleLensError(
            f"tokens must be one of {', '.join(MASKS)}, or a span such as prompt[1:4] or "
            f"answer[:3], got {shown(tokens)}"
        )
    kind, begin, end = span
    first = 0 if begin is None else begin
    if end is not None and (end == 0 or ((first < 0) == (end < 0) and end <= first)):
        raise RoleLensError(f"tokens={tokens!r} has no tokens: end it after its beginning")
    if kind == "answer" and min(begin or 0, end or 0) < 0:
        raise RoleLensError(
            f"tokens={tokens!r} counts from the end of the answer, which isn't known while it is "
            "written: count from its beginning"
        )


def meaning(tokens: TokenMask) -> str:
    """What a token mask means, in words, for who reads a patch's file."""
    span = _span(tokens)
    if span is None:
        return _MEANINGS[tokens]
    kind, begin, end = span
    return f"{_MEANINGS[kind]}: of these, as Python cuts lists, [{_of(begin)}:{_of(end)}]"


def _of(bound: int | None) -> str:
    return "" if bound is None else str(bound)


def changes_first_answer(tokens: TokenMask) -> bool:
    """Whether a mask has tokens before the first token of an answer; else it can't change what
    that token is."""
    if tokens == "generated":
        return False
    span = _span(tokens)
    return span is None or span[0] == "prompt" or not span[1]


def needs_whole_prompt(tokens: TokenMask) -> bool:
    """Whether a mask counts from the end of the prompt, so that its beginning alone, as prompts
    share it, doesn't tell what the mask has of it."""
    span = _span(tokens)
    return span is not None and span[0] == "prompt" and min(span[1] or 0, span[2] or 0) < 0


@dataclass(eq=False)
class TokenWindow:
    """Which columns of the current forward pass belong to the prompt.

    In a left-padded batch of prompts, all prompts end in the same column. Rows that are prompts
    with answers of different lengths end their prompts in different columns. With a key-value
    cache, a pass sees only the newest columns.

    Examples:
        >>> from role_lens.patches import TokenWindow
        >>> window = TokenWindow(prompt_end=torch.tensor([3, 4]))
        >>> window.select("generated", width=5).int().tolist()
        [[0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]
        >>> window.select("prompt[1:3]", width=5).int().tolist()
        [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0]]
    """

    prompt_end: Int[Tensor, " batch"]
    """First column after each row's prompt, counted from the first column of the sequence."""
    offset: int = 0
    """How many columns the key-value cache holds already; generation moves it on."""
    prompt_start: Int[Tensor, " batch"] | None = None
    """Each row's first column that is not padding; None for 0."""

    @staticmethod
    def of_prompts(mask: Int[Tensor, "batch pos"]) -> "TokenWindow":
        """For prompts that are padded on the left.

        Args:
            mask: 1 where there is a token, 0 on the padding.
        """
        width = torch.full((mask.shape[0],), mask.shape[1], device=mask.device)
        return TokenWindow(width, prompt_start=width - mask.sum(dim=1))

    def select(self, tokens: TokenMask, width: int) -> Bool[Tensor, "batch pos"]:
        """True at the columns that a token mask names, of a pass that sees `width` columns."""
        end = self.prompt_end[:, None]
        start = torch.zeros_like(end) if self.prompt_start is None else self.prompt_start[:, None]
        column = torch.arange(self.offset, self.offset + width, device=end.device)[None]
        if span := _span(tokens):
            kind, *bounds = span
            origin, length = (start, end - start) if kind == "prompt" else (end - 1, None)
            return _between(column - origin, bounds, length)
        return {
            "all": torch.ones_like(column < end),
            "prompt": column < end,
            "generated": column >= end,
            "last": column == end - 1,
            "answer": column >= end - 1,
            "not_first": column != start,
        }[tokens]


def _between(
    place: Int[Tensor, "batch pos"],
    bounds: Sequence[int | None],
    length: Int[Tensor, "batch 1"] | None,
) -> Bool[Tensor, "batch pos"]:
    """Whether places, counted from 0, lie in a slice of so many tokens (None for no end)."""
    inside = place >= 0 if length is None else (place >= 0) & (place < length)
    for bound, after in zip(bounds, (True, False), strict=True):
        if bound is not None:
            limit = bound if length is None or bound >= 0 else length + bound
            inside = inside & (place >= limit if after else place < limit)
    return inside


def _span(tokens: TokenMask) -> tuple[str, int | None, int | None] | None:
    """Kind and bounds of a span; None for a mask that has a name, or is none."""
    found = _SPAN.fullmatch(tokens) if isinstance(tokens, str) else None
    if found is None or "-" in found.groups():
        return None
    kind, begin, end = found.groups()
    return kind, int(begin) if begin else None, int(end) if end else None
