"""Tells one set of weights from another by what they compute.

    check_fingerprint(fingerprint(model), other_model)    # raises: other weights

A fingerprint is some coordinates of the residual stream on fixed tokens. Unlike a hash of the
weights it is the same, up to rounding, for both TransformerLens model classes, for float32 and
bfloat16, and on every device.
"""

from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import einops
import torch

from role_lens._run.residual_stream import residual_stream
from role_lens._run.tokens import Batch
from role_lens.errors import RoleLensError
from role_lens.models import Model, weight_processing

Fingerprint: TypeAlias = tuple[float, ...]

_COORDINATES = 16
# Relative to the coordinates' own size, rounding to bfloat16 changes a layer by a few percent,
# other weights by more than their size.
_TOLERANCE = 0.2
_known: WeakKeyDictionary[Any, dict[str, Fingerprint]] = WeakKeyDictionary()


@torch.inference_mode()
def fingerprint(model: Model) -> Fingerprint:
    """Some coordinates of the residual stream entering each block, at the last of a few fixed
    tokens: layer by layer, evenly spaced over the width.

    Computed once per model and kind of weight processing; weights that change otherwise keep
    their first fingerprint.

    Raises:
        RoleLensError: hooks are attached, which would take part in it.
    """
    known = _known.setdefault(model, {})
    processing = weight_processing(model)
    if processing not in known:
        refuse_hooks(model)
        # Spread over the vocabulary: the first ids are often rare control tokens.
        tokens = torch.arange(1, 17, device=model.cfg.device)[None] * (model.cfg.d_vocab // 17)
        batch = Batch(tokens, torch.ones_like(tokens), (0,))
        resid = residual_stream(model, batch, [-1])[:, 0, 0].float()
        columns = torch.linspace(0, model.cfg.d_model - 1, _COORDINATES).long()
        known[processing] = tuple(resid.cpu()[:, columns].flatten().tolist())
    return known[processing]


def check_fingerprint(expected: Fingerprint, model: Model) -> None:
    """Raise a RoleLensError if the model computes something else than the one expected.

    A model that already carries hooks and was never fingerprinted can't be checked: the hooks
    would take part. It passes.
    """
    if weight_processing(model) not in _known.get(model, {}) and has_hooks(model):
        return
    found = fingerprint(model)
    if len(found) != len(expected):
        raise RoleLensError(
            f"the vectors are from a model of {len(expected) // _COORDINATES} layers, this one has "
            f"{len(found) // _COORDINATES}: load the model that they were fitted on"
        )
    worst, difference = _worst_layer(found, expected)
    if not difference <= _TOLERANCE:
        raise RoleLensError(
            "the vectors are from a model with other weights, or weights processed in another way"
            f": on fixed tokens the residual stream entering block {worst} differs by "
            f"{difference:.0%}"
        )


def same_fingerprint(first: Fingerprint, second: Fingerprint) -> bool:
    """Whether two fingerprints are of the same weights, up to rounding."""
    return len(first) == len(second) and _worst_layer(first, second)[1] <= _TOLERANCE


def _worst_layer(first: Fingerprint, second: Fingerprint) -> tuple[int, float]:
    """The layer whose coordinates differ most, and by how much: |a - b| / max(|a|, |b|)."""
    a, b = (
        einops.rearrange(
            torch.tensor(values), "(layer coordinate) -> layer coordinate", coordinate=_COORDINATES
        )
        for values in (first, second)
    )
    size = torch.maximum(a.norm(dim=-1), b.norm(dim=-1)).clamp(min=1e-6)
    difference, layer = ((a - b).norm(dim=-1) / size).max(dim=0)
    return int(layer), float(difference)


def refuse_hooks(model: Model) -> None:
    """Raise a RoleLensError if hooks are attached to the model, which would take part in what it
    computes."""
    if has_hooks(model):
        raise RoleLensError("the model carries hooks: remove them first, with reset_hooks()")


def has_hooks(model: Model) -> bool:
    """Whether somebody's hooks are attached to the model; those that TransformerLens itself needs
    on some architectures don't count."""
    return any(
        not str(getattr(handle.user_hook, "__module__", "")).startswith("transformer_lens.")
        for point in model.hook_dict.values()
        for handle in point.fwd_hooks
    )
