"""Decides how many tokens a batch may hold, and makes batches of sequences of like length.

    for batch, result in in_batches(model, sequences, token_budget(model), run): ...

On a GPU the budget comes from the free memory, and is halved whenever a pass runs out of it. On a
CPU it is what suits the cache.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from role_lens._run.padding import ignores_padding
from role_lens._run.tokens import Batch, pad_left
from role_lens.errors import OutOfMemoryError, RoleLensError
from role_lens.models import Model

Result = TypeVar("Result")

# A batch whose widest activation is about this large is still in a CPU's cache when it is read
# again; smaller ones use the matrix unit less well.
_CPU_BYTES = 6 * 2**20
_SHARE = 0.3  # of the free memory of a GPU; the rest is for what the estimate leaves out


@dataclass(eq=False)
class Budget:
    """The most tokens that a batch may hold, padding included (one longer row goes alone)."""

    tokens: int
    of_a_batch: int = 64
    """What one more batch costs, in tokens: that much padding is worth avoiding it."""
    most_rows: int | None = None

    def rows(self, width: int) -> int:
        """How many rows of this many tokens make a batch."""
        rows = max(1, self.tokens // max(1, width))
        return rows if self.most_rows is None else min(rows, self.most_rows)

    def halve(self, rows: int) -> None:
        """After running out of memory with this many rows.

        Raises:
            OutOfMemoryError: it was a single row, or the smallest batch.
        """
        if rows <= 1 or self.tokens <= 1:
            raise OutOfMemoryError(
                "out of GPU memory with a single sequence in the batch: use a smaller model, "
                "dtype=bfloat16, or shorter prompts"
            )
        self.tokens = max(1, self.tokens // 2)


def token_budget(model: Model, max_tokens: int | None = None) -> Budget:
    """A budget for passes through this model.

    Args:
        max_tokens: the user's own choice; None for one from the memory at hand.

    Raises:
        RoleLensError: a choice below 1.
    """
    if max_tokens is not None:
        if max_tokens < 1:
            raise RoleLensError(f"max_tokens must be at least 1, got {max_tokens}")
        return Budget(max_tokens)
    cfg = model.cfg
    bytes_each = torch.finfo(cfg.dtype).bits // 8
    d_mlp = getattr(cfg, "d_mlp", None) or 4 * cfg.d_model
    device = torch.device(str(cfg.device))
    if device.type == "cuda":
        # Residual stream and MLP, some copies of each, and attention over a few hundred tokens.
        per_token = bytes_each * (8 * cfg.d_model + 4 * d_mlp + 1024 * cfg.n_heads)
        free, _ = torch.cuda.mem_get_info(device)
        return Budget(int(min(max(_SHARE * free / per_token, 256), 65536)), of_a_batch=4096)
    return Budget(min(max(_CPU_BYTES // (bytes_each * d_mlp), 256), 4096))


def in_batches(
    model: Model,
    sequences: Sequence[Sequence[int]],
    budget: Budget,
    run: Callable[[Batch], Result],
    *,
    pad: Callable[..., Batch] = pad_left,
) -> Iterator[tuple[Batch, Result]]:
    """Batches of sequences of like length, longest first, with what `run` returns.

    Of a model that doesn't ignore padding the sequences of a batch have one length.
    Where a GPU runs out of memory the budget halves and the batch is repeated, smaller.
    """
    order = sorted(range(len(sequences)), key=lambda i: (-len(sequences[i]), i))
    padded = len({*map(len, sequences)}) == 1 or ignores_padding(model)
    start = 0
    while start < len(order):
        width = len(sequences[order[start]])
        index = order[start : start + budget.rows(width)]
        if not padded:
            index = [i for i in index if len(sequences[i]) == width]
        batch = pad(model, [sequences[i] for i in index], index)
        result = attempt(partial(run, batch), budget, len(index))
        if result is not None:
            yield batch, result
            start += len(index)


def attempt(run: Callable[[], Result], budget: Budget, rows: int) -> Result | None:
    """What `run` returns, or None and a halved budget if the GPU ran out of memory."""
    try:
        return run()
    except torch.OutOfMemoryError:
        pass  # leaving the handler frees what the failed pass holds
    budget.halve(rows)
    torch.cuda.empty_cache()
    return None
