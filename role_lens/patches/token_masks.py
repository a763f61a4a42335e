"""Tells which tokens a patch changes, in a padded batch and with a key-value cache.

    window = TokenWindow(prompt_end=torch.tensor([12, 12]))
    window.select("generated", width=20)    # True in columns 12 to 19

A mask is one of four names: `all`, `prompt`, `generated`, `last`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from role_lens.errors import RoleLensError

TokenMask = Literal["all", "prompt", "generated", "last"]
"""Which tokens a patch changes: `all`; `prompt`, up to the last prompt token; `generated`, those
after it; `last`, only the last prompt token."""


def check_tokens(tokens: str) -> None:
    """Raise a RoleLensError unless `tokens` is a known token mask."""
    if tokens not in get_args(TokenMask):
        raise RoleLensError(f"tokens must be one of {get_args(TokenMask)}, got {tokens!r}")


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
    """

    prompt_end: Int[Tensor, " batch"]
    """First column after each row's prompt, counted from the first column of the sequence."""
    offset: int = 0
    """How many columns the key-value cache holds already; generation moves it on."""

    def select(self, tokens: TokenMask, width: int) -> Bool[Tensor, "batch pos"]:
        """True at the columns that a token mask names, of a pass that sees `width` columns."""
        end = self.prompt_end[:, None]
        column = torch.arange(self.offset, self.offset + width, device=end.device)[None]
        if tokens == "prompt":
            return column < end
        if tokens == "generated":
            return column >= end
        if tokens == "last":
            return column == end - 1
        return torch.ones_like(column < end)
