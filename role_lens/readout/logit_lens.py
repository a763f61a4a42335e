"""Which tokens a direction promotes, read through the model's final norm and unembedding."""

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.models import Model


@torch.inference_mode()
def logit_lens(
    model: Model, vectors: Float[Tensor, "*rest d_model"], *, top_k: int = 10
) -> list[list[str]]:
    """The `top_k` tokens with the highest logits for each vector, best first.

    Each vector is taken as a residual-stream state of its own: final norm, then unembedding
    (nostalgebraist 2020, "interpreting GPT: the logit lens").

    Returns:
        One list of token strings per vector, in the order of the flattened leading axes.
    """
    rows = vectors.reshape(-1, vectors.shape[-1])
    weight = next(model.unembed.parameters())
    # As a batch of one sequence, which both model classes take.
    logits = model.unembed(model.ln_final(rows[None].to(weight.device, weight.dtype)))[0]
    best = logits.float().topk(top_k, dim=-1).indices.tolist()
    return [[model.tokenizer.decode([token]) for token in row] for row in best]
