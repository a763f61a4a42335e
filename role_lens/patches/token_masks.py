"""What a patch does to the residual stream, and to which tokens. Pure tensors: knows no model."""

from dataclasses import dataclass
from typing import Literal, get_args

import einops
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from role_lens.errors import RoleLensError

Kind = Literal["add", "ablate", "clamp", "cap"]
TokenMask = Literal["all", "prompt", "generated", "last"]


def check_tokens(tokens: str) -> None:
    """Raise a RoleLensError unless `tokens` is a known token mask."""
    if tokens not in get_args(TokenMask):
        raise RoleLensError(f"tokens must be one of {get_args(TokenMask)}, got {tokens!r}")


@dataclass(eq=False)
class TokenWindow:
    """Which columns of the current forward pass belong to the prompt.

    Left-padded rows that are continued with tokens of different number end their prompts in
    different columns; under a key-value cache a pass sees only the newest columns.
    """

    prompt_end: Int[Tensor, " batch"]
    """First column after each row's prompt, counted from the first column of the sequence."""
    offset: int = 0
    """How many columns the key-value cache holds already; generation moves it on."""

    def select(self, tokens: TokenMask, width: int) -> Bool[Tensor, "batch pos"]:
        """True at the columns that a token mask names."""
        end = self.prompt_end[:, None]
        column = torch.arange(self.offset, self.offset + width, device=end.device)[None]
        if tokens == "prompt":
            return column < end
        if tokens == "generated":
            return column >= end
        if tokens == "last":
            return column == end - 1
        return torch.ones_like(column < end)


def intervene(
    kind: Kind,
    x: Float[Tensor, "batch pos d_model"],
    directions: Float[Tensor, "candidate d_model"],
    values: Float[Tensor, " candidate"],
    selected: Bool[Tensor, "batch pos"] | None = None,
) -> Float[Tensor, "batch pos d_model"]:
    """The changed residual stream, as a new tensor of x's type; computed in float32.

    The batch has the rows of the first candidate, then as many of the second, and so on. The
    kinds are those of `Patch`.

    Args:
        directions: raw for `add`, of unit length for the others.
        values: coefficients of `add`, projections for `clamp` and `cap`, 0 for `ablate`.
        selected: which tokens to change; None for all.
    """
    stream = einops.rearrange(
        x.float(), "(candidate row) pos d -> candidate row pos d", candidate=len(values)
    )
    directions = directions.to(x.device)
    target = values.to(x.device)[:, None, None]
    if kind == "add":
        shift = target.expand(stream.shape[:-1])
    else:
        projection = einops.einsum(
            stream, directions, "candidate row pos d, candidate d -> candidate row pos"
        )
        if kind == "cap":
            target = torch.minimum(projection, target)
        shift = target - projection
    # x + shift · direction, in one pass over x
    changed = torch.addcmul(stream, shift[..., None], directions[:, None, None])
    changed = einops.rearrange(changed, "candidate row pos d -> (candidate row) pos d")
    if selected is not None:
        changed = torch.where(selected.to(x.device)[..., None], changed, x.float())
    return changed.to(x.dtype)
