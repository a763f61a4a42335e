"""Finds out whether padding changes what a model computes.

    ignores_padding(model)

Most models skip padding by its mask. Recurrent ones read it like text, so that their batches must
hold sequences of one length.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch

from role_lens._run.exclusive import has_model_to_itself
from role_lens._run.forward import last_logits
from role_lens._run.tokens import Batch, n_embeddings
from role_lens.models import Model

# Of logits, relative to their size. The rows differ under the mask only, so that even in lower
# precision there is next to nothing between them.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_TOLERANCE_LOW_PRECISION = 1e-2

_known: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


@has_model_to_itself
@torch.inference_mode()
def ignores_padding(model: Model) -> bool:
    """Whether what stands before a text, under the mask, changes nothing of it.

    Found out once for a model, on two rows of a few tokens.
    """
    if model not in _known:
        text = range(1, 9)
        rows = torch.tensor([[9, 10, 11, 12, *text], [13, 14, 15, 16, *text]])
        tokens = rows.to(model.cfg.device) % n_embeddings(model)
        mask = torch.ones_like(tokens)
        mask[:, :4] = 0
        one, other = last_logits(model, Batch(tokens, mask, (0, 1)))[:, 0].float()
        size = float(one[one.isfinite()].abs().max())
        relative = _TOLERANCE.get(model.cfg.dtype, _TOLERANCE_LOW_PRECISION)
        _known[model] = torch.allclose(one, other, rtol=0, atol=relative * size)
    return _known[model]
