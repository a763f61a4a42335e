"""Chooses a model's scorer: replay if it agrees with whole forward passes, else whole passes.

    scorer = engine(model, items, token_budget(model))
    scorer.logprobs([(patch,), (other,)])

Replay computes only what a patch changes; whole passes compute every token with hooks.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.budget import Budget
from role_lens._run.fingerprint import has_hooks
from role_lens.errors import OutOfMemoryError, warn
from role_lens.models import Model, model_name, weight_processing
from role_lens.patches.patch import Combined, Patch
from role_lens.scoring.items import Item
from role_lens.scoring.prefixes import shared_prefixes
from role_lens.scoring.replay import Replay
from role_lens.scoring.whole_pass import WholePasses

# Of log-probabilities; in lower precision other batch shapes alone make a difference.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_TOLERANCE_LOW_PRECISION = 0.3
# Of each model and kind of use: whether they agreed, and on how long a question.
_checked: WeakKeyDictionary[Any, dict[tuple[Any, ...], tuple[bool, int]]] = WeakKeyDictionary()


@runtime_checkable
class Scorer(Protocol):
    """What scores a fixed set of questions under candidates."""

    def chunk_size(self, layer: int) -> int:
        """How many candidates of this first layer to score at once."""

    def logprobs(self, candidates: Sequence[Any]) -> Float[Tensor, "candidate item choice"]:
        """Log-likelihood of each option's tokens, in nats; NaN where a question has fewer
        options."""


def engine(model: Model, items: Sequence[Item], budget: Budget) -> Replay | WholePasses:
    """A scorer of these questions.

    On first use with a model, replay is compared with whole passes on the longest and the shortest
    question. The two are compared again when questions first share a prefix, when options first
    have several tokens, and when questions are more than twice as long. If they differ the model
    gets whole passes, with a warning. A model that carries hooks gets whole passes too, since its
    hooks would act twice on what is replayed.
    """
    if has_hooks(model):
        return WholePasses(model, items, budget)
    several = any(len(tokens) > 1 for item in items for tokens in item.continuations)
    compared = [i for i in items if not several or max(map(len, i.continuations)) > 1]
    groups = shared_prefixes([item.prompt for item in compared])
    prefix, index = max(groups, key=lambda group: (group[0] > 0, len(group[1])))
    if prefix:
        compared = [compared[i] for i in index]
    by_length = sorted(compared, key=lambda item: len(item.prompt))
    longest, shortest = by_length[-1], by_length[0]
    known = _checked.setdefault(model, {})
    key = (weight_processing(model), str(model.cfg.dtype), several, prefix > 0)
    agreed, length = known.get(key, (True, 0))
    if agreed and len(longest.prompt) > 2 * length:
        agreed = _agrees(model, [longest, shortest])
        known[key] = agreed, len(longest.prompt)
    return (Replay if agreed else WholePasses)(model, items, budget)


def in_chunks(scorer: Scorer, forms: Sequence[tuple[int, Hashable]]) -> Iterator[list[int]]:
    """Indices of candidates that may be scored together, lowest layers first.

    Args:
        forms: for each candidate, its first layer and what it must share with others of a batch.
    """
    alike: dict[tuple[int, Hashable], list[int]] = {}
    for index, of_one in enumerate(forms):
        alike.setdefault(of_one, []).append(index)
    for (layer, _), indices in sorted(alike.items(), key=lambda item: item[0][0]):
        size = scorer.chunk_size(layer)
        for start in range(0, len(indices), size):
            yield indices[start : start + size]


def replay_difference(model: Model, items: Sequence[Item]) -> float:
    """Largest difference between log-probabilities of options by replay and by whole passes, per
    token.

    It is measured when two random directions are added at the middle layer, and when one of them is
    ablated from the prompt. All questions are in one batch, so with padding (but on a model with a
    sliding window).
    """
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn((2, model.cfg.d_model), generator=generator)
    middle = model.cfg.n_layers // 2
    forms: list[list[Combined]] = [
        [(Patch.add(a, layer=middle),), (Patch.add(b, layer=middle),)],
        [(Patch.ablate(a, tokens="prompt"),)],
    ]
    together = Budget(10**9, of_a_batch=10**9)
    replay, whole = Replay(model, items, together), WholePasses(model, items, together)
    lengths = torch.full((len(items), max(len(i.continuations) for i in items)), torch.nan)
    for row, item in enumerate(items):
        lengths[row, : len(item.continuations)] = torch.tensor([len(c) for c in item.continuations])
    scored = ~lengths.isnan()
    differences = [
        ((replay.logprobs(candidates) - whole.logprobs(candidates)) / lengths)[:, scored]
        for candidates in forms
    ]
    return float(torch.cat(differences).abs().max())


def _agrees(model: Model, items: Sequence[Item]) -> bool:
    try:
        difference = replay_difference(model, items)
    except OutOfMemoryError:
        raise  # which says nothing of replay
    except Exception as error:  # whatever an unusual architecture makes of it
        reason = f"it fails on this model ({type(error).__name__}: {error})"
    else:
        tolerance = _TOLERANCE.get(model.cfg.dtype, _TOLERANCE_LOW_PRECISION)
        if difference <= tolerance:  # not where it is NaN
            return True
        reason = f"log-probabilities differ from those under hooks by {difference:.2g}"
    warn(
        f"{model_name(model)} is scored by whole forward passes, which is slower than replaying "
        f"the blocks that a patch changes: {reason}"
    )
    return False
