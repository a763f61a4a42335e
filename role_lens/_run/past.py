"""Holds keys and values of tokens that were run before, for batches whose rows continue them.

    rows = past.select(torch.tensor([0, 0, 1]))   # three rows that continue two earlier texts
    keys, values = rows.pair(layer=3)

What texts have in common at their beginning, such as a chat preamble, then runs only once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Past:
    """Keys and values of earlier tokens, by block, for batches whose rows continue them."""

    pairs: Mapping[int, tuple[Tensor, Tensor]]
    """Block -> keys and values as the model's own cache holds them, one row per earlier text."""
    mask: Int[Tensor, "row pos"]
    """1 for every earlier token, 0 for padding; one row per continuing row."""
    rows: Int[Tensor, " row"]
    """Which earlier text each continuing row follows."""

    def select(self, rows: Int[Tensor, " new"]) -> "Past":
        """The same earlier tokens for other continuing rows; nothing is copied yet."""
        return replace(self, mask=self.mask[rows], rows=self.rows[rows])

    def pair(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one block, a row per continuing row."""
        keys, values = self.pairs[layer]
        if keys.shape[0] == 1:  # a view
            shape = (len(self.rows), -1, -1, -1)
            return keys.expand(shape), values.expand(shape)
        rows = self.rows.to(keys.device)  # a large model's blocks are spread over several devices
        return keys.index_select(0, rows), values.index_select(0, rows)
