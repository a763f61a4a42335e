"""Keys and values of tokens that were run before, for batches that continue them.

Knows the caches of transformers, not how a model is run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import DynamicCache


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


class KeysKnown(Exception):
    """Ends a block once its keys and values are known."""


class JoinedCache(DynamicCache):
    """Joins a block's keys and values to earlier ones as the block asks for them.

    Unlike its parent it holds nothing but what is to be kept, and it doesn't grow.
    """

    def __init__(self, past: Past | None, keep: bool) -> None:
        super().__init__()
        self._past = past
        self._keep = keep
        self._known: tuple[Tensor, Tensor] | None = None
        self.stop = False
        """Whether to end the block, and give the same keys and values again when asked next."""
        self.pairs: dict[int, tuple[Tensor, Tensor]] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if self._known is not None:
            return self._known
        if self._past is not None:
            keys, values = self._past.pair(layer_idx)
            key_states = torch.cat([keys, key_states], dim=-2)
            value_states = torch.cat([values, value_states], dim=-2)
        if self._keep:
            self.pairs[layer_idx] = (key_states, value_states)
        if self.stop:
            self._known = (key_states, value_states)
            raise KeysKnown
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0 if self._past is None else self._past.mask.shape[1]

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0
