"""Scores questions under patches behind gates: each question with those that act on it.

    GatedScorer(engine(model, items, budget), model, items).logprobs([(gated_patch,)])

Whether a patch acts on a question is decided from the question's prompt, so that each question is
scored exactly as it is with the patch, or without it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.models import Model
from role_lens.patches.gate import acting
from role_lens.patches.patch import Combined
from role_lens.scoring.engine import Scorer
from role_lens.scoring.items import Item


class GatedScorer:
    """A scorer that takes patches behind gates too.

    Args:
        scorer: what scores all questions under patches that always act.
        model, items: whose questions they are.
    """

    def __init__(self, scorer: Scorer, model: Model, items: Sequence[Item]) -> None:
        self.inner = scorer
        self._model = model
        self._prompts = [item.prompt for item in items]
        self._plain: Tensor | None = None

    def chunk_size(self, layer: int) -> int:
        """How many candidates of this first layer to score at once."""
        return self.inner.chunk_size(layer)

    def logprobs(self, candidates: Sequence[Combined]) -> Float[Tensor, "candidate item choice"]:
        """Log-likelihood of each option's tokens, in nats; NaN where a question has fewer
        options."""
        if all(patch.gate is None for candidate in candidates for patch in candidate):
            return self.inner.logprobs(candidates)
        return torch.stack([self._one(candidate) for candidate in candidates])

    def _one(self, candidate: Combined) -> Float[Tensor, "item choice"]:
        found: Tensor | None = None
        for some, rows in acting(self._model, self._prompts, candidate).items():
            scores = self._scores(some)
            found = torch.full_like(scores, torch.nan) if found is None else found
            found[rows] = scores[rows]
        assert found is not None  # there are questions
        return found

    def _scores(self, patches: Combined) -> Float[Tensor, "item choice"]:
        """Of all questions; those of the unpatched model are kept, since every gate needs them."""
        if patches:
            return self.inner.logprobs([patches])[0]
        if self._plain is None:
            (self._plain,) = self.inner.logprobs([()])
        return self._plain
