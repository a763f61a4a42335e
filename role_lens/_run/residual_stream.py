"""Reads the residual stream entering every block, at some tokens of each row of a batch.

    residual_stream(model, batch, positions=[-1])    # layer x batch x position x d_model

For any number of prompts see `activations`, which makes the batches.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.exclusive import hooked
from role_lens._run.partial_pass import run_blocks
from role_lens._run.past import Past
from role_lens._run.tokens import Batch
from role_lens.models import Model


def residual_stream(
    model: Model, batch: Batch, positions: Sequence[int], past: Past | None = None
) -> Float[Tensor, "layer batch position d_model"]:
    """The residual stream entering every block (`blocks.l.hook_resid_pre`) at some positions.

    The pass stops before the last block runs: neither it nor the unembedding is needed.

    Args:
        positions: tokens of each row, negative, from its last; padding doesn't count.
        past: of tokens that precede the batch's, one row for all.
    """
    columns = torch.arange(batch.mask.shape[1], device=batch.mask.device)
    last = (batch.mask * columns).argmax(dim=1)
    wanted = last[:, None] + 1 + torch.tensor(positions, device=last.device)
    rows = torch.arange(len(last), device=last.device)
    layers: list[Tensor] = []

    def keep(resid: Tensor, hook: Any) -> None:
        # Some architectures go on to write into the tensor: a copy, not a view.
        layers.append(resid[rows[:, None].to(resid.device), wanted.to(resid.device)])

    end = model.cfg.n_layers - 1
    hooks = [(f"blocks.{layer}.hook_resid_pre", keep) for layer in range(end)]
    after = past.select(torch.zeros_like(rows)) if past is not None else None
    with hooked(model, hooks):
        final, _ = run_blocks(model, batch.tokens, batch.mask, past=after, stop=end)
    keep(final, None)
    return torch.stack([layer.to(final.device) for layer in layers])
