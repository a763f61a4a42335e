"""Reads which tokens a direction promotes, and what each layer would say next, through the model's
final norm and unembedding (nostalgebraist 2020, "interpreting GPT: the logit lens").

    logit_lens(model, direction[None], top_k=5)    # [[" lawyer", " court", ...]]
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.forward import finite
from role_lens._run.partial_pass import float32_readout
from role_lens._run.tokens import encode_chat
from role_lens.models import Model
from role_lens.patches.attached import attached
from role_lens.patches.patch import Patches


@torch.inference_mode()
def logit_lens(
    model: Model, vectors: Float[Tensor, "*rest d_model"], *, top_k: int = 10
) -> list[list[str]]:
    """The `top_k` tokens with the highest logits for each vector, best first.

    Each vector is taken as a residual-stream state of its own: final norm, then unembedding.

    Returns:
        One list of token strings per vector, in the order of the flattened leading axes.
    """
    logits = lens_logits(model, vectors.reshape(-1, vectors.shape[-1]))
    best = logits.topk(top_k, dim=-1).indices.tolist()
    return [[model.tokenizer.decode([token]) for token in row] for row in best]


@torch.no_grad()
def lens_logits(
    model: Model, vectors: Float[Tensor, "row d_model"]
) -> Float[Tensor, "row d_vocab"]:
    """Logits of residual-stream states, computed in float32."""
    weight = next(model.unembed.parameters())
    # As a batch of one sequence, which both model classes take. TransformerLens has logit_readout
    # for this since 4.0, but not for HookedTransformers.
    rows = vectors[None].to(weight.device).float()
    with float32_readout(model):
        return model.unembed(model.ln_final(rows).float())[0].cpu()


def name_logits(
    model: Model, vectors: Float[Tensor, "row d_model"], names: Sequence[str]
) -> Float[Tensor, "row name"]:
    """How much each vector promotes each name: the mean logit of the name's tokens, as they are
    inside a sentence.

    Names whose tokens are rare or frequent differ whatever the vector: compare one name over
    vectors, or take a mean over vectors off first.
    """
    logits = lens_logits(model, vectors)
    encode = partial(model.tokenizer, add_special_tokens=False)
    # After a word: some tokenizers put a space of their own before a text.
    n_before = len(encode("a")["input_ids"])
    ids = [encode(f"a {name}")["input_ids"][n_before:] for name in names]
    return torch.stack([logits[:, tokens].mean(dim=1) for tokens in ids], dim=1)


@torch.inference_mode()
def layer_logprobs(
    model: Model, prompt: str, patch: Patches = None, *, system: str | None = None
) -> Float[Tensor, "layer d_vocab"]:
    """What would come next after a prompt, if the residual stream entering each block, and leaving
    the last, were the end: log-probabilities, one row more than there are layers.

    The last row is the model's own prediction, but where its logits are capped (Gemma 2) or scaled
    (Cohere) afterwards.

    Args:
        prompt: one user turn.
        patch: attached while the model runs.

    Raises:
        RoleLensError: an empty prompt, a patch that doesn't fit.
    """
    tokens = torch.tensor(encode_chat(model, [prompt], system), device=model.cfg.device)
    states: list[Tensor] = []

    def keep(x: Tensor, hook: Any) -> None:
        states.append(x[0, -1].cpu())  # blocks may be on several devices

    n_layers = model.cfg.n_layers
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(n_layers)]
    names.append(f"blocks.{n_layers - 1}.hook_resid_post")
    with attached(model, patch), model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(tokens)
    return finite(lens_logits(model, torch.stack(states))).log_softmax(dim=-1)


def most_likely(
    model: Model, logprobs: Float[Tensor, "layer d_vocab"], *, top_k: int = 5
) -> pd.DataFrame:
    """The first tokens of each row: `layer, place` (1 is the likeliest), `token, logprob`."""
    best = logprobs.topk(top_k, dim=-1)
    rows = [
        (layer, place + 1, model.tokenizer.decode([int(token)]), float(value))
        for layer, (values, tokens) in enumerate(zip(best.values, best.indices, strict=True))
        for place, (value, token) in enumerate(zip(values, tokens, strict=True))
    ]
    return pd.DataFrame.from_records(rows, columns=["layer", "place", "token", "logprob"])
