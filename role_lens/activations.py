"""Sums of the residual stream over groups of prompts, streamed in float64.

One pass gives all layers and positions for all groups; memory doesn't grow with the number of
prompts. Knows groups of token sequences, not roles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import einops
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from role_lens.errors import RoleLensError
from role_lens.forward import residual_stream
from role_lens.models import Model
from role_lens.tokens import batches


@dataclass(frozen=True, eq=False)
class GroupSums:
    """Float64 sums over the prompts of each group."""

    count: Int[Tensor, " group"]
    total: Float[Tensor, "group position layer d_model"]
    """Sum of the residual stream entering each block."""
    probe_total: Float[Tensor, "group probe position layer"]
    """Sum of each prompt's projections on the probe directions."""
    probe_square: Float[Tensor, "group probe position layer"]
    """Sum of the squares of those projections."""

    def mean(self) -> Float[Tensor, "group position layer d_model"]:
        """Mean activation of each group (NaN for a group without prompts)."""
        return self.total / self.count[:, None, None, None]


@torch.inference_mode()
def sum_activations(
    model: Model,
    groups: Sequence[Sequence[Sequence[int]]],
    positions: Sequence[int],
    *,
    probes: Float[Tensor, "probe position layer d_model"] | None = None,
    max_tokens: int = 2048,
    progress: str | None = None,
) -> GroupSums:
    """Sum the residual stream at `positions` of all layers over each group of token sequences.

    Args:
        groups: token sequences of each group; a group may be empty.
        positions: token positions, negative, from the end.
        probes: directions whose projections are summed too, with their squares.
        max_tokens: most tokens in a batch, padding included.
        progress: label of a progress bar; None for no bar.

    Raises:
        RoleLensError: NaN or infinite activations.
    """
    sequences = [ids for group in groups for ids in group]
    owner = torch.tensor([g for g, group in enumerate(groups) for _ in group], dtype=torch.long)
    n_layers, d_model = model.cfg.n_layers, model.cfg.d_model
    shape = (len(positions), n_layers)
    n_probes = 0 if probes is None else probes.shape[0]
    count = torch.bincount(owner, minlength=len(groups))
    total = torch.zeros((len(groups), *shape, d_model), dtype=torch.float64)
    probe_total = torch.zeros((len(groups), n_probes, *shape), dtype=torch.float64)
    probe_square = torch.zeros_like(probe_total)
    with tqdm(total=len(sequences), desc=progress, disable=progress is None) as bar:
        for batch in batches(model, sequences, max_tokens=max_tokens):
            resid = einops.rearrange(
                residual_stream(model, batch, positions).cpu().float(),
                "layer batch position d_model -> batch position layer d_model",
            )
            if not bool(torch.isfinite(resid).all()):
                raise RoleLensError(
                    "the model's activations are NaN or infinite; with float16 weights try "
                    "dtype=torch.bfloat16 or float32"
                )
            group = owner[list(batch.index)]
            total.index_add_(0, group, resid.double())
            if probes is not None:
                projection = einops.einsum(
                    resid,
                    probes.float(),
                    "batch position layer d_model, probe position layer d_model"
                    " -> batch probe position layer",
                ).double()
                probe_total.index_add_(0, group, projection)
                probe_square.index_add_(0, group, projection.square())
            bar.update(len(batch.index))
    return GroupSums(count, total, probe_total, probe_square)
