"""Run part of a model: from a block on, up to a block, after tokens that were run before.

The rest of the work (positions, masks, the final norm and softcap, the unembedding) stays the
model's own. Knows both TransformerLens model classes, neither patches nor questions.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from role_lens.forward import finite, keep_last
from role_lens.models import Model, is_bridge


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
        return keys.index_select(0, self.rows), values.index_select(0, self.rows)


def run_blocks(
    model: Model,
    tokens: Int[Tensor, "row pos"],
    mask: Int[Tensor, "row pos"],
    *,
    past: Past | None = None,
    start: int = 0,
    resid: Float[Tensor, "row pos d_model"] | None = None,
    stop: int | None = None,
    columns: int = 1,
    keep: bool = False,
) -> tuple[Tensor, Past | None]:
    """Run blocks `start` to `stop` on new tokens that follow those of `past`.

    Hooks on the model act as in a whole pass, on the new tokens only. With `start` equal to the
    number of blocks only the final norm and the unembedding run.

    Args:
        mask: 1 for every new token, 0 for padding.
        start: first block to run; the ones before are passed over.
        resid: the residual stream entering block `start`; None, only for 0, embeds the tokens.
        stop: run up to but not including this block; None runs to the logits.
        columns: return the logits of the last columns only.
        keep: return the keys and values of all tokens so far.

    Returns:
        Logits `row columns d_vocab`, or with `stop` the residual stream `row pos d_model` entering
        that block; and a `Past` of the same rows if asked for.
    """
    whole = mask if past is None else torch.cat([past.mask, mask], dim=1)
    hooks = [] if stop is not None else [keep_last(model, columns)]
    run = _bridge_pass if is_bridge(model) else _hooked_pass
    with model.hooks(fwd_hooks=hooks):
        output, pairs = run(model, tokens, whole, past, start, resid, stop, keep)
    if stop is None:
        output = finite(output)
    rows = torch.arange(tokens.shape[0], device=tokens.device)
    return output, Past(pairs, whole, rows) if keep else None


class _JoinedCache(DynamicCache):
    """Joins a block's keys and values to earlier ones as the block asks for them.

    Unlike its parent it holds nothing but what is to be kept, and it doesn't grow.
    """

    def __init__(self, past: Past | None, keep: bool) -> None:
        super().__init__()
        self._past = past
        self._keep = keep
        self.pairs: dict[int, tuple[Tensor, Tensor]] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if self._past is not None:
            keys, values = self._past.pair(layer_idx)
            key_states = torch.cat([keys, key_states], dim=-2)
            value_states = torch.cat([values, value_states], dim=-2)
        if self._keep:
            self.pairs[layer_idx] = (key_states, value_states)
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0 if self._past is None else self._past.mask.shape[1]

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0


def _bridge_pass(
    model: Model,
    tokens: Tensor,
    mask: Tensor,
    past: Past | None,
    start: int,
    resid: Tensor | None,
    stop: int | None,
    keep: bool,
) -> tuple[Tensor, Mapping[int, tuple[Tensor, Tensor]]]:
    cache = _JoinedCache(past, keep) if keep or past is not None else None
    options: dict[str, Any] = {"use_cache": False} if cache is None else {"past_key_values": cache}

    def leave(x: Tensor, hook: Any) -> None:
        raise _Left(x)

    # The bridge's own stop is at the entry of a block, and there is none after the last.
    to_the_end = stop == model.cfg.n_layers
    hooks = [(f"blocks.{model.cfg.n_layers - 1}.hook_resid_post", leave)] if to_the_end else []
    with _passed_over(model, tokens, start, resid), model.hooks(fwd_hooks=hooks):
        try:
            output = model(
                tokens,
                attention_mask=mask,
                stop_at_layer=None if to_the_end else stop,
                **options,
            )
        except _Left as left:
            output = left.resid
    return output, cache.pairs if cache is not None else {}


class _Left(Exception):
    """Carries the residual stream out of a pass after its last block."""

    def __init__(self, resid: Tensor) -> None:
        super().__init__()
        self.resid = resid


@contextmanager
def _passed_over(model: Model, tokens: Tensor, start: int, resid: Tensor | None) -> Iterator[None]:
    """Let the blocks before `start` do nothing but hand on the residual stream."""
    blocks = [model.blocks[layer] for layer in range(start)]
    output = (resid,) if blocks and _returns_tuple(model, tokens) else resid

    def enter(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        if args:
            return (resid, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": resid}

    first = start == 0 and resid is not None  # no block before it that could hand it on
    handle = model.blocks[0].register_forward_pre_hook(enter, with_kwargs=True) if first else None
    try:
        for block in blocks:
            # A bridge would hand a plain assignment on to the module that it wraps.
            object.__setattr__(block, "forward", lambda *args, **kwargs: output)
        yield
    finally:
        if handle is not None:
            handle.remove()
        for block in blocks:
            block.__dict__.pop("forward", None)  # the class's own again


_tuples: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def _returns_tuple(model: Model, tokens: Tensor) -> bool:
    """Whether the model expects a tuple from its blocks; that depends on the architecture."""
    if model not in _tuples:
        seen: list[bool] = []
        handle = model.blocks[0].register_forward_hook(
            lambda block, inputs, output: seen.append(isinstance(output, tuple))
        )
        try:
            model(tokens, use_cache=False, stop_at_layer=1)
        finally:
            handle.remove()
        _tuples[model] = seen[0]
    return _tuples[model]


def _hooked_pass(
    model: Model,
    tokens: Tensor,
    mask: Tensor,
    past: Past | None,
    start: int,
    resid: Tensor | None,
    stop: int | None,
    keep: bool,
) -> tuple[Tensor, Mapping[int, tuple[Tensor, Tensor]]]:
    from transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache

    width = tokens.shape[1]
    cache = None
    if keep or past is not None:
        cache = TransformerLensKeyValueCache.init_cache(
            model.cfg, model.cfg.device, tokens.shape[0]
        )
        cache.previous_attention_mask = mask[:, :-width]
        for layer in past.pairs if past is not None else ():
            cache[layer].past_keys, cache[layer].past_values = past.pair(layer)
        cache.frozen = not keep
        for entry in cache.entries:
            entry.frozen = not keep
    if resid is None:
        # It appends the new tokens' mask to the one in the cache itself.
        output = model(
            tokens, attention_mask=mask[:, -width:], past_kv_cache=cache, stop_at_layer=stop
        )
    else:
        output = model(
            resid,
            start_at_layer=start,
            attention_mask=mask,
            past_kv_cache=cache,
            stop_at_layer=stop,
        )
    pairs = {}
    if keep and cache is not None:
        pairs = {
            layer: (entry.past_keys, entry.past_values)
            for layer, entry in enumerate(cache.entries)
            if entry.past_keys.shape[1] == mask.shape[1]
        }
    return output, pairs
