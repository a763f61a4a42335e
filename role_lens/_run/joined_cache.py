"""Lets tokens attend to keys and values of earlier tokens: a cache as transformers models take it.

    model(tokens, past_key_values=JoinedCache(past, keep=True))

Each block's new keys and values are joined to those of a `Past`, and kept if that is asked for.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from role_lens._run.past import Past


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
