"""Measures how far a patch moves what the model would say anyway.

before = answer_logprobs(model, prompts)
mean_kl(before, answer_logprobs(model, prompts, patch))    # nats
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.budget import in_batches, token_budget
from role_lens._run.forward import last_logits
from role_lens._run.tokens import Batch, encode_chat
from role_lens.models import Model
from role_lens.patches.attached import attached
from role_lens.patches.patch import Patches


@torch.inference_mode()
def answer_logprobs(
    model: Model,
    prompts: Sequence[str],
    patches: Patches = None,
    *,
    system: str | None = None,
    max_tokens: int | None = None,
) -> Float[Tensor, "prompt d_vocab"]:
    """Log-probabilities of the first token of each answer."""
    sequences = encode_chat(model, prompts, system)
    budget = token_budget(model, max_tokens)
    logprobs = torch.empty((len(prompts), model.cfg.d_vocab))

    def run(batch: Batch) -> Tensor:
        return last_logits(model, batch)[:, 0].float().log_softmax(dim=-1).cpu()

    with attached(model, patches):
        for batch, rows in in_batches(model, sequences, budget, run):
            logprobs[list(batch.index)] = rows
    return logprobs


def kl_divergence(
    before: Float[Tensor, "*rest d_vocab"], after: Float[Tensor, "*rest d_vocab"]
) -> Float[Tensor, "*rest"]:
    """KL(before ‖ after) = Σ p (log p - log q), in nats, from log-probabilities."""
    # Tokens that are forbidden in both add nothing.
    terms = torch.where(before == -torch.inf, 0.0, before.exp() * (before - after))
    return terms.sum(dim=-1)


def mean_kl(
    before: Float[Tensor, "prompt d_vocab"], after: Float[Tensor, "prompt d_vocab"]
) -> float:
    """Mean divergence over prompts, in nats."""
    return float(kl_divergence(before, after).mean())
