"""Runs forward passes that give the logits of the last tokens only.

    last_logits(model, batch)    # batch x 1 x d_vocab, of a left-padded batch

The unembedding of all other tokens is never computed.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from role_lens._run.exclusive import hooked
from role_lens._run.tokens import Batch
from role_lens.errors import RoleLensError
from role_lens.models import Model, is_bridge


def last_logits(
    model: Model, batch: Batch, columns: int = 1
) -> Float[Tensor, "batch columns d_vocab"]:
    """Logits of the last columns only; the unembedding of the others is never computed."""
    with hooked(model, [keep_last(model, columns)]):
        return finite(model(batch.tokens, attention_mask=batch.mask))


def next_logits(
    model: Model,
    tokens: Int[Tensor, "batch new"],
    mask: Int[Tensor, "batch pos"],
    cache: Any = None,
) -> tuple[Float[Tensor, "batch d_vocab"], Any]:
    """Logits after the newest token, with the key-value cache to hand to the next call.

    Args:
        tokens: the tokens that the cache doesn't hold yet (all of them without a cache).
        mask: 1 for every real token so far, cached ones included.
    """
    with hooked(model, [keep_last(model, 1)]):
        if is_bridge(model):
            logits, cache = model(
                tokens,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                return_type="logits_and_cache",
            )
        else:
            cache = cache if cache is not None else _legacy_cache(model, tokens.shape[0])
            new_mask = mask[:, -tokens.shape[1] :]  # it appends to the mask in the cache itself
            logits = model(tokens, attention_mask=new_mask, past_kv_cache=cache)
    return finite(logits[:, -1]), cache


def finite(logits: Tensor) -> Tensor:
    """The logits as they are; raises a RoleLensError if they have overflowed."""
    # Some models set the logits of forbidden tokens to -inf; anything else is an overflow.
    if bool((logits.isnan() | (logits == torch.inf)).any()):
        raise RoleLensError(
            "the model's activations are NaN or infinite: a patch is too large for its type of "
            "numbers, or the weights are in float16; try a smaller coefficient or float32"
        )
    return logits


def keep_last(model: Model, columns: int) -> tuple[str, Any]:
    """A hook after which only the last columns go through the unembedding."""

    def keep(x: Tensor, hook: Any) -> Tensor:
        return x[:, -columns:].contiguous()  # or the matrix product goes row by row

    # Some Hugging Face models (GPT-2) restore the full shape after the final norm, so there the
    # cut has to come later than in a HookedTransformer, which has no hook at its unembedding.
    if is_bridge(model):
        return "unembed.hook_in", keep
    return f"blocks.{model.cfg.n_layers - 1}.hook_resid_post", keep


def _legacy_cache(model: Model, batch: int) -> Any:
    from transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache

    return TransformerLensKeyValueCache.init_cache(model.cfg, model.cfg.device, batch)
