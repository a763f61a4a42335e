"""Measures how far a patch moves what the model would say anyway.

    before = answer_logprobs(model, prompts)
    mean_kl(before, answer_logprobs(model, prompts, patch))    # nats

It does so on prompts that have nothing to do with a role, at the first token of the answer.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.budget import in_batches, token_budget
from role_lens._run.exclusive import has_model_to_itself
from role_lens._run.forward import last_logits
from role_lens._run.tokens import Batch, encode_chat
from role_lens.models import Model
from role_lens.patches.hooks import attached
from role_lens.patches.patch import Patches
from role_lens.patches.token_masks import TokenWindow


@has_model_to_itself
@torch.inference_mode()
def answer_logprobs(
    model: Model,
    prompts: Sequence[str],
    patches: Patches = None,
    *,
    system: str | None = None,
    max_tokens: int | None = None,
) -> Float[Tensor, "prompt d_vocab"]:
    """Log-probabilities of the first token of the answer to each prompt, in nats.

    Args:
        prompts: formatted as one user turn each.
        patches: a patch, or several that act together; None for the unpatched model.
        system: system message; None for the chat template's own default.
        max_tokens: most tokens in a batch, padding included; None for a number that suits the
            memory at hand.

    Examples:
        >>> from role_lens.scoring import answer_logprobs
        >>> logprobs = answer_logprobs(model, ["Tea?", "Lunch!"])
        >>> logprobs.shape == (2, model.cfg.d_vocab)
        True
    """
    sequences = encode_chat(model, prompts, system)
    budget = token_budget(model, max_tokens)
    logprobs = torch.empty((len(prompts), model.cfg.d_vocab))

    def run(batch: Batch) -> Tensor:
        with attached(model, patches, TokenWindow.of_prompts(batch.mask)):
            return last_logits(model, batch)[:, 0].float().log_softmax(dim=-1).cpu()

    for batch, rows in in_batches(model, sequences, budget, run):
        logprobs[list(batch.index)] = rows
    return logprobs


def kl_divergence(
    before: Float[Tensor, "*rest d_vocab"], after: Float[Tensor, "*rest d_vocab"]
) -> Float[Tensor, "*rest"]:
    """KL divergence from log-probabilities: KL(before ‖ after) = Σ p (log p - log q), in nats.

    Examples:
        >>> from role_lens.scoring import kl_divergence
        >>> before, after = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.75, 0.25]).log()
        >>> round(float(kl_divergence(before, after)), 3)
        0.144
    """
    # Tokens that are forbidden in both add nothing.
    terms = torch.where(before == -torch.inf, 0.0, before.exp() * (before - after))
    return terms.sum(dim=-1)


def mean_kl(
    before: Float[Tensor, "prompt d_vocab"], after: Float[Tensor, "prompt d_vocab"]
) -> float:
    """Mean KL divergence over prompts, in nats.

    Args:
        before, after: log-probabilities without and with a patch, as `answer_logprobs` gives them.

    Examples:
        >>> from role_lens.scoring import answer_logprobs, mean_kl
        >>> before = answer_logprobs(model, base)
        >>> after = answer_logprobs(model, base, vectors.add("poet", layer=1))
        >>> mean_kl(before, before), mean_kl(before, after) > 0
        (0.0, True)
    """
    return float(kl_divergence(before, after).mean())
