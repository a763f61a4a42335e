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

from role_lens._run.exclusive import exclusive, has_model_to_itself
from role_lens._run.residual_stream import residual_stream
from role_lens._run.tokens import Batch, n_embeddings
from role_lens.errors import RoleLensError
from role_lens.models import Model, weight_processing

Fingerprint: TypeAlias = tuple[float, ...]

_COORDINATES = 16
_LIBRARIES = ("transformer_lens.", "transformers.", "accelerate.", "torch.")
# Relative to the coordinates' own size, rounding to bfloat16 changes a layer by a few percent,
# other weights by more than their size.
_TOLERANCE = 0.2
# Of each model: the state of its weights, and the fingerprint in that state.
_known: WeakKeyDictionary[Any, tuple[tuple[Any, ...], Fingerprint]] = WeakKeyDictionary()


@has_model_to_itself
@torch.inference_mode()
def fingerprint(model: Model) -> Fingerprint:
    """Some coordinates of the residual stream entering each block, at the last of a few fixed
    tokens: layer by layer, evenly spaced over the width.

    Computed once, and again whenever the weights have changed. It doesn't depend on the tokenizer,
    nor on rows that were added to the embedding.

    Raises:
        RoleLensError: hooks are attached, which would take part in it.
    """
    state = _state(model)
    known = _known.get(model)
    if known is None or known[0] != state:
        refuse_hooks(model)
        tokens = torch.tensor([_tokens(n_embeddings(model))], device=model.cfg.device)
        batch = Batch(tokens, torch.ones_like(tokens), (0,))
        resid = residual_stream(model, batch, [-1])[:, 0, 0].float()
        columns = torch.linspace(0, model.cfg.d_model - 1, _COORDINATES).long()
        known = state, tuple(resid.cpu()[:, columns].flatten().tolist())
        _known[model] = known
    return known[1]


def _tokens(n: int) -> list[int]:
    """The fixed tokens, for an embedding of n rows: the same for one with some rows more."""
    # The first ids are often rare control tokens, or single bytes.
    first, step = (300, 13) if n >= 512 else (1, 7)
    return [(first + step * number) % n for number in range(16)]


def _state(model: Model) -> tuple[Any, ...]:
    """What is no longer the same once weights have changed: where they are, how often they were
    written to, and a few of their numbers."""
    # Of weights that accelerate keeps elsewhere there is nothing to read here.
    parameters = [one.detach() for one in model.parameters() if not one.is_meta]
    places = tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in parameters)
    some = [p.flatten()[:: max(1, p.numel() // 8)].to("cpu", torch.float32) for p in parameters]
    return weight_processing(model), places, torch.cat(some).numpy().tobytes()


def check_fingerprint(expected: Fingerprint, model: Model) -> None:
    """Raise a RoleLensError if the model computes something else than the one expected.

    A model that already carries hooks, and has no fingerprint of its present weights, can't be
    checked: the hooks would take part. It passes.
    """
    with exclusive(model):
        if has_hooks(model) and _known.get(model, ((), ()))[0] != _state(model):
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
        raise RoleLensError(
            "the model carries hooks: remove TransformerLens's with model.reset_hooks(), and "
            "torch's with their handles, those of a transformers model before load_model"
        )


@has_model_to_itself  # or another thread's hooks would be seen
def has_hooks(model: Model) -> bool:
    """Whether somebody's hooks are attached to the model, TransformerLens hooks or torch's own.

    Those that TransformerLens itself needs on some architectures don't count, nor do those with
    which accelerate moves weights, nor torch's on the whole model, which watch passes.
    """
    hooks = [handle.user_hook for one in model.hook_dict.values() for handle in one.fwd_hooks]
    whole = getattr(model, "original_model", model)
    # The hooks of hook points are torch's too.
    passed_over = {id(one) for one in (model, whole, *model.hook_dict.values())}
    for module in (*model.modules(), *whole.modules()):
        if id(module) not in passed_over:
            hooks += [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return any(not _module(hook).startswith(_LIBRARIES) for hook in hooks)


def _module(hook: Any) -> str:
    """The module in which a hook was written; empty where that can't be told."""
    return str(getattr(getattr(hook, "func", hook), "__module__", ""))
