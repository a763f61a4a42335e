"""Tell one set of weights from another by what they compute. Knows no directions.

The fingerprint is functional, so it is the same for both TransformerLens model classes, for
float32 and bfloat16, and on every device; hashes of the weights are not.
"""

from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch

from role_lens.errors import RoleLensError
from role_lens.forward import residual_stream
from role_lens.models import Model, weight_processing
from role_lens.tokens import Batch

Fingerprint: TypeAlias = tuple[float, ...]

# bfloat16 rounding moves the norms by under 1 %; other weights by far more.
_TOLERANCE = 0.05
_known: WeakKeyDictionary[Any, dict[str, Fingerprint]] = WeakKeyDictionary()


@torch.inference_mode()
def fingerprint(model: Model) -> Fingerprint:
    """Norm of the residual stream entering each block, at the last of a few fixed tokens.

    Computed once per model and kind of weight processing; weights that change otherwise keep
    their first fingerprint.

    Raises:
        RoleLensError: hooks are attached, which would take part in it.
    """
    known = _known.setdefault(model, {})
    processing = weight_processing(model)
    if processing not in known:
        if _has_hooks(model):
            raise RoleLensError("the model carries hooks: remove them before fitting role vectors")
        # Spread over the vocabulary: the first ids are often rare control tokens.
        tokens = torch.arange(1, 17, device=model.cfg.device)[None] * (model.cfg.d_vocab // 17)
        batch = Batch(tokens, torch.ones_like(tokens), (0,))
        norms = residual_stream(model, batch, [-1]).float().norm(dim=-1)
        known[processing] = tuple(norms.flatten().tolist())
    return known[processing]


def check_fingerprint(expected: Fingerprint, model: Model) -> None:
    """Raise a RoleLensError if the model computes something else than the one expected.

    A model that already carries hooks and was never fingerprinted can't be checked: the hooks
    would take part. It passes.
    """
    if weight_processing(model) not in _known.get(model, {}) and _has_hooks(model):
        return
    found = fingerprint(model)
    if len(found) != len(expected):
        raise RoleLensError(
            f"the vectors are from a model of {len(expected)} layers, this one has {len(found)}"
        )
    if not same_fingerprint(found, expected):
        worst = max(range(len(found)), key=lambda i: _difference(found[i], expected[i]))
        raise RoleLensError(
            "the vectors are from a model with other weights, or weights processed in another way"
            f": on fixed tokens the residual stream entering block {worst} has norm "
            f"{found[worst]:.4g}, expected {expected[worst]:.4g}"
        )


def same_fingerprint(first: Fingerprint, second: Fingerprint) -> bool:
    """Whether two fingerprints are of the same weights, up to rounding."""
    return len(first) == len(second) and all(
        _difference(a, b) <= _TOLERANCE for a, b in zip(first, second, strict=True)
    )


def _has_hooks(model: Model) -> bool:
    return any(point.fwd_hooks for point in model.hook_dict.values())


def _difference(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b), 1e-6)
