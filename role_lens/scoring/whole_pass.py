"""Scores questions under patches by whole forward passes with hooks: the plain way.

    WholePasses(model, items, budget).logprobs([(patch,), (other,)])

Replay is checked against it, and it takes replay's place on a model where the two differ.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.budget import Budget, in_batches
from role_lens._run.exclusive import exclusive
from role_lens._run.forward import last_logits
from role_lens._run.tokens import Batch
from role_lens.models import Model
from role_lens.patches.hooks import attached
from role_lens.patches.patch import Combined
from role_lens.patches.token_masks import TokenWindow
from role_lens.scoring.items import Item


class WholePasses:
    """Scores the same as `Replay`, one candidate at a time, computing every token."""

    def __init__(self, model: Model, items: Sequence[Item], budget: Budget) -> None:
        self._model = model
        self._items = items
        self._budget = budget

    def chunk_size(self, layer: int) -> int:
        """How many candidates to score at once: always one."""
        return 1

    @torch.inference_mode()
    def logprobs(self, candidates: Sequence[Combined]) -> Float[Tensor, "candidate item choice"]:
        """Log-likelihood of each option's tokens, in nats; NaN where a question has fewer
        options."""
        with exclusive(self._model):
            return torch.stack([self._one(candidate) for candidate in candidates])

    def _one(self, candidate: Combined) -> Float[Tensor, "item choice"]:
        # Options of one token each are all read off one pass over the prompt.
        jobs: list[tuple[int, list[int]]] = []
        for number, item in enumerate(self._items):
            choices = list(range(len(item.continuations)))
            single = all(len(tokens) == 1 for tokens in item.continuations)
            jobs += [(number, choices)] if single else [(number, [choice]) for choice in choices]
        # The last token of a continuation predicts nothing that is scored.
        sequences = [
            [*self._items[number].prompt, *self._items[number].continuations[choices[0]][:-1]]
            for number, choices in jobs
        ]
        n_choices = max(len(item.continuations) for item in self._items)
        scores = torch.full((len(self._items), n_choices), torch.nan)

        def lengths(batch: Batch) -> list[int]:
            return [len(self._items[jobs[i][0]].continuations[jobs[i][1][0]]) for i in batch.index]

        def run(batch: Batch) -> Float[Tensor, "row columns d_vocab"]:
            ends = [batch.tokens.shape[1] - length + 1 for length in lengths(batch)]
            starts = batch.mask.shape[1] - batch.mask.sum(dim=1)
            window = TokenWindow(torch.tensor(ends, device=starts.device), prompt_start=starts)
            with attached(self._model, candidate, window):
                return last_logits(self._model, batch, max(lengths(batch)))

        for batch, logits in in_batches(self._model, sequences, self._budget, run):
            logprobs = logits.float().log_softmax(dim=-1).cpu()
            for row, (i, length) in enumerate(zip(batch.index, lengths(batch), strict=True)):
                number, choices = jobs[i]
                for choice in choices:
                    tokens = torch.tensor(self._items[number].continuations[choice])
                    steps = torch.arange(logprobs.shape[1] - length, logprobs.shape[1])
                    scores[number, choice] = logprobs[row, steps, tokens].sum()
        return scores
