"""Runs part of a model: from a block on, up to a block, after tokens that were run before.

    resid, past = run_blocks(model, tokens, mask, stop=12, keep=True)   # blocks 0 to 11
    logits, _ = run_blocks(model, tokens, mask, start=12, resid=resid)  # the rest

It does so for both TransformerLens model classes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Parameter

from role_lens._run.exclusive import exclusive, hooked
from role_lens._run.forward import finite, keep_last
from role_lens._run.past import Past
from role_lens.models import Model, is_bridge

Pairs: TypeAlias = Mapping[int, tuple[Tensor, Tensor]]
"""Keys and values of each block that ran."""


@dataclass(frozen=True, eq=False)
class Part:
    """Which part of a model to run, and on what; the fields are the arguments of `run_blocks`."""

    tokens: Int[Tensor, "row pos"]
    mask: Int[Tensor, "row all_pos"]
    """Of the earlier tokens too."""
    past: Past | None
    start: int
    resid: Float[Tensor, "row pos d_model"] | None
    stop: int | None
    only: Int[Tensor, " row"] | None
    keep: bool


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
    only: Int[Tensor, " row"] | None = None,
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
        only: with `stop` after the last block, the one column of each row that is wanted: of the
            last block nothing else is computed but keys and values.
        keep: return the keys and values of all tokens so far.

    Returns:
        Logits `row columns d_vocab`, or with `stop` the residual stream `row pos d_model` entering
        that block (`row 1 d_model` with `only`); and a `Past` of the same rows if asked for.
    """
    whole = mask if past is None else torch.cat([past.mask, mask], dim=1)
    hooks = [] if stop is not None else [keep_last(model, columns)]
    if is_bridge(model):
        from role_lens._run.bridge_pass import bridge_pass as run  # needs transformers
    else:
        run = _hooked_pass
    with hooked(model, hooks):
        output, pairs = run(model, Part(tokens, whole, past, start, resid, stop, only, keep))
    if stop is None:
        output = finite(output)
    rows = torch.arange(tokens.shape[0], device=tokens.device)
    return output, Past(pairs, whole, rows) if keep else None


def _hooked_pass(model: Model, part: Part) -> tuple[Tensor, Pairs]:
    """As `bridge_pass`."""
    from transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache

    rows, width = part.tokens.shape
    cache = None
    if part.keep or part.past is not None:
        cache = TransformerLensKeyValueCache.init_cache(model.cfg, model.cfg.device, rows)
        cache.previous_attention_mask = part.mask[:, :-width]
        if part.past is not None:
            for layer in part.past.pairs:
                cache[layer].past_keys, cache[layer].past_values = part.past.pair(layer)
        cache.frozen = not part.keep
        for entry in cache.entries:
            entry.frozen = not part.keep
    if part.resid is None:
        # It appends the new tokens' mask to the one in the cache itself.
        new = part.mask[:, -width:]
        output = model(
            part.tokens, attention_mask=new, past_kv_cache=cache, stop_at_layer=part.stop
        )
    else:
        output = model(
            part.resid,
            start_at_layer=part.start,
            attention_mask=part.mask,
            past_kv_cache=cache,
            stop_at_layer=part.stop,
        )
    if part.only is not None:
        output = output[torch.arange(rows, device=output.device), part.only][:, None]
    pairs = {}
    if part.keep and cache is not None:
        pairs = {
            layer: (entry.past_keys, entry.past_values)
            for layer, entry in enumerate(cache.entries)
            if entry.past_keys.shape[1] == part.mask.shape[1]
        }
    return output, pairs


@contextmanager
def float32_readout(model: Model) -> Iterator[None]:
    """Let the final norm and the unembedding compute in float32, whatever the blocks do.

    Rounded to bfloat16, logits hide differences below a sixteenth.
    """
    parts = [getattr(model, name, None) for name in ("ln_final", "unembed")]
    modules = [module for part in parts if part is not None for module in part.modules()]
    held = [tensors for m in modules for tensors in (m._parameters, m._buffers)]
    with exclusive(model):
        kept = [dict(tensors) for tensors in held]
        try:
            for tensors in held:
                for name, tensor in tensors.items():
                    # A tensor of its own: the old one may be the embedding's too.
                    if isinstance(tensor, Parameter):
                        tensors[name] = Parameter(tensor.float(), requires_grad=False)
                    elif tensor is not None and tensor.is_floating_point():
                        tensors[name] = tensor.float()
            yield
        finally:
            for tensors, before in zip(held, kept, strict=True):
                tensors.update(before)
