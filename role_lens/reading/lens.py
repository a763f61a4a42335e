"""Reads directions and layers with the logit lens: which tokens would each make likely?

    logit_lens(model, direction[None], top_k=5)    # [[" lawyer", " court", ...]]

A vector is taken for the residual stream after the last block: the model's final norm and its
unembedding turn it into logits. Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.exclusive import has_model_to_itself, hooked
from role_lens._run.forward import finite
from role_lens._run.partial_pass import float32_readout
from role_lens._run.tokens import encode_chat
from role_lens.checks import whole_number
from role_lens.directions import as_vectors
from role_lens.errors import RoleLensError
from role_lens.models import Model
from role_lens.patches.hooks import attached
from role_lens.patches.patch import Patches


@has_model_to_itself
@torch.inference_mode()
def logit_lens(
    model: Model, vectors: Float[Tensor, "*rest d_model"], *, top_k: int = 10
) -> list[list[str]]:
    """The tokens that each vector promotes most.

    Each vector goes through the final norm and the unembedding, as if it were all of the residual
    stream. Its length hardly matters, because the norm divides by it.

    Args:
        model: any model of `load_model`.
        vectors: directions or states, with any leading axes.
        top_k: how many tokens of each.

    Returns:
        One list of token strings per vector, the highest logit first; vectors in the order of the
        flattened leading axes.

    Examples:
        >>> from role_lens.reading import logit_lens
        >>> tokens = logit_lens(model, vectors.directions("roles")[:, -1, 2], top_k=4)
        >>> [len(row) for row in tokens]    # poet and cook, 4 tokens each
        [4, 4]
    """
    vectors = as_vectors(vectors)
    logits = lens_logits(model, vectors.reshape(-1, vectors.shape[-1]))
    top_k = whole_number(top_k, "top_k")
    if not 1 <= top_k <= logits.shape[-1]:
        raise RoleLensError(f"top_k must be 1 to {logits.shape[-1]}, the vocabulary, got {top_k}")
    best = logits.topk(top_k, dim=-1).indices.tolist()
    return [[model.tokenizer.decode([token]) for token in row] for row in best]


@has_model_to_itself
@torch.no_grad()
def lens_logits(
    model: Model, vectors: Float[Tensor, "row d_model"]
) -> Float[Tensor, "row d_vocab"]:
    """Logits of residual-stream states: final norm and unembedding, computed in float32."""
    vectors = as_vectors(vectors)
    if vectors.shape[-1] != model.cfg.d_model:
        raise RoleLensError(
            f"the vectors have {vectors.shape[-1]} dimensions, the model {model.cfg.d_model}: they "
            "are from another model"
        )
    weight = next(model.unembed.parameters())
    # As a batch of one sequence, which both model classes take. TransformerLens has logit_readout
    # for this since 4.0, but not for HookedTransformers.
    rows = vectors[None].to(weight.device).float()
    with float32_readout(model):
        return model.unembed(model.ln_final(rows).float())[0].cpu()


@has_model_to_itself
def name_logits(
    model: Model, vectors: Float[Tensor, "row d_model"], names: Sequence[str]
) -> Float[Tensor, "row name"]:
    """How much each vector promotes each name.

    Logits of names whose tokens are rare or frequent differ whatever the vector is: compare one
    name over several vectors, or subtract each name's mean over vectors first.

    Args:
        model: any model of `load_model`.
        vectors: directions or states.
        names: such as the roles; tokenised as inside a sentence, after a space.

    Returns:
        The mean logit of each name's tokens.

    Examples:
        >>> from role_lens.reading import name_logits
        >>> directions = vectors.directions("roles")[:, -1, 2]
        >>> name_logits(model, directions, ["poet", "cook", "ship cook"]).shape    # row, name
        torch.Size([2, 3])
    """
    logits = lens_logits(model, vectors)
    encode = partial(model.tokenizer, add_special_tokens=False)
    # After a word: some tokenizers put a space of their own before a text.
    n_before = len(encode("a")["input_ids"])
    ids = [encode(f"a {name}")["input_ids"][n_before:] for name in names]
    return torch.stack([logits[:, tokens].mean(dim=1) for tokens in ids], dim=1)


@has_model_to_itself
@torch.inference_mode()
def layer_logprobs(
    model: Model, prompt: str, patch: Patches = None, *, system: str | None = None
) -> Float[Tensor, "layer d_vocab"]:
    """What the model would say next after a prompt, if it had only the blocks before each layer.

    The residual stream at the prompt's last token, as it enters each block and as it leaves the
    last one, goes through the final norm and the unembedding. The last row is the model's own
    prediction, except in models that cap (Gemma 2) or scale (Cohere) their logits afterwards.

    Args:
        model: any model of `load_model`.
        prompt: one user turn.
        patch: a patch or several, attached while the model runs.
        system: system message; None for the chat template's own default.

    Returns:
        Log-probabilities of the next token, in nats: a row for the input of each layer, and one for
        the output of the last.

    Raises:
        RoleLensError: an empty prompt, a patch that doesn't fit, logits that are NaN or infinite.

    Examples:
        >>> from role_lens.reading import layer_logprobs
        >>> layer_logprobs(model, "Tea?").shape    # 3 layers and the end; tokens
        torch.Size([4, 300])
    """
    tokens = torch.tensor(encode_chat(model, [prompt], system), device=model.cfg.device)
    states: list[Tensor] = []

    def keep(x: Tensor, hook: Any) -> None:
        states.append(x[0, -1].cpu())  # blocks may be on several devices

    n_layers = model.cfg.n_layers
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(n_layers)]
    names.append(f"blocks.{n_layers - 1}.hook_resid_post")
    with attached(model, patch), hooked(model, [(name, keep) for name in names]):
        model(tokens)
    return finite(lens_logits(model, torch.stack(states))).log_softmax(dim=-1)


def most_likely(
    model: Model, logprobs: Float[Tensor, "layer d_vocab"], *, top_k: int = 5
) -> pd.DataFrame:
    """The likeliest tokens of each layer, as a table.

    Args:
        model: the model, for its tokenizer.
        logprobs: what `layer_logprobs` returns.
        top_k: how many tokens of each layer.

    Returns:
        One row per layer and token: `layer` (the largest stands for the output of the last block),
        `place` (1 is the likeliest), `token`, `logprob` (nats).

    Examples:
        >>> from role_lens.reading import layer_logprobs, most_likely
        >>> table = most_likely(model, layer_logprobs(model, "Tea?"), top_k=2)
        >>> table[["layer", "place"]].to_numpy().tolist()
        [[0, 1], [0, 2], [1, 1], [1, 2], [2, 1], [2, 2], [3, 1], [3, 2]]
    """
    best = logprobs.topk(top_k, dim=-1)
    rows = [
        (layer, place + 1, model.tokenizer.decode([int(token)]), float(value))
        for layer, (values, tokens) in enumerate(zip(best.values, best.indices, strict=True))
        for place, (value, token) in enumerate(zip(values, tokens, strict=True))
    ]
    return pd.DataFrame.from_records(rows, columns=["layer", "place", "token", "logprob"])
