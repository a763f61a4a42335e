"""Changes to the residual stream as TransformerLens hook functions, with token masks.

A `Patch` is plain data: it knows a direction and where to apply it, not where it came from.
"""

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from role_lens._run.fingerprint import Fingerprint, check_fingerprint
from role_lens.directions import unit
from role_lens.errors import RoleLensError
from role_lens.models import Model, check_layer
from role_lens.patches.token_masks import Kind, TokenMask, TokenWindow, check_tokens, intervene

# Everything that is written to the residual stream (Arditi et al., arXiv 2406.11717, section 2.4).
_WRITES = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out")


@dataclass(frozen=True, eq=False, repr=False)
class Patch:
    """One change to the residual stream x, for use with `evaluate`, `generate` or `patch.on`.

    With unit direction u = d/|d| and projection p = x·u, at the chosen tokens:

    - add: x + coefficient · d at `hook_resid_pre` of the given layers;
    - ablate: x - p·u on every block's input, attention output and MLP output;
    - clamp: x + (value - p)·u at `hook_resid_pre` of the given layers;
    - cap: x + min(0, value - p)·u, the same where p is above `value`.

    Token masks: `all`; `prompt` (up to the last prompt token); `generated` (tokens after it);
    `last` (only the last prompt token). They mean the same with and without a key-value cache.
    """

    kind: Kind
    direction: Float[Tensor, " d_model"]
    """Raw difference for `add`, unit length for the others; float32."""
    layers: tuple[int, ...]
    """Layers whose input is changed; empty for `ablate`, which takes all."""
    value: float
    """Coefficient of `add`; target or ceiling of the projection p for `clamp` and `cap`, in
    the residual stream's units. Unused by `ablate`."""
    tokens: TokenMask = "all"
    fingerprint: Fingerprint | None = None
    """Of the model that the direction was read from; None where that is unknown."""

    def __repr__(self) -> str:
        where = f"layers {list(self.layers)}, value {self.value:g}, " if self.layers else ""
        return f"Patch({self.kind}, {where}tokens {self.tokens}, |d| {self.direction.norm():.3g})"

    @staticmethod
    def add(
        direction: Float[Tensor, " d_model"],
        *,
        layer: int | Sequence[int],
        coefficient: float = 1.0,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Activation addition: x + coefficient · direction, the raw direction."""
        unit(direction)  # refuses a zero or non-finite one
        return _patch("add", direction, layer, coefficient, tokens, fingerprint)

    @staticmethod
    def ablate(
        direction: Float[Tensor, " d_model"],
        *,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Directional ablation: x - (x·u) u on everything written, at all layers."""
        return _patch("ablate", unit(direction.float()), (), 0.0, tokens, fingerprint)

    @staticmethod
    def clamp(
        direction: Float[Tensor, " d_model"],
        *,
        layer: int | Sequence[int],
        value: float,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Set the projection on the unit direction to `value`."""
        return _patch("clamp", unit(direction.float()), layer, value, tokens, fingerprint)

    @staticmethod
    def cap(
        direction: Float[Tensor, " d_model"],
        *,
        layer: int | Sequence[int],
        value: float,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Limit the projection on the unit direction to at most `value`."""
        return _patch("cap", unit(direction.float()), layer, value, tokens, fingerprint)

    def on(self, model: Model) -> Any:
        """Context manager with the patch attached to the model; gone afterwards, also after an
        error. Every token counts as prompt here, padding too: use `generate` for the token masks
        in text, and for `last` rows of one length, or padded on the left."""
        return attached(model, self)

    def check(self, model: Model) -> None:
        """Raise a RoleLensError if the patch doesn't fit the model, saying what differs."""
        d_model = model.cfg.d_model
        if self.direction.shape[0] != d_model:
            raise RoleLensError(
                f"the direction has {self.direction.shape[0]} dimensions, the model's residual "
                f"stream {d_model}: it is from another model"
            )
        for layer in self.layers:
            check_layer(model, layer)
        if self.fingerprint is not None:
            check_fingerprint(self.fingerprint, model)

    def apply(
        self,
        x: Float[Tensor, "batch pos d_model"],
        selected: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """The changed residual stream, as a new tensor of x's type; computed in float32.

        Args:
            selected: which tokens to change; None for all.
        """
        return _changed((self,), x, selected)

    def hook_names(self, n_layers: int) -> list[str]:
        """TransformerLens names of the hook points at which the patch acts."""
        if self.kind == "ablate":
            return [f"blocks.{layer}.{write}" for layer in range(n_layers) for write in _WRITES]
        return [f"blocks.{layer}.hook_resid_pre" for layer in self.layers]


Patches: TypeAlias = Patch | Sequence[Patch] | None


def as_sequence(patches: Patches) -> tuple[Patch, ...]:
    """No patch, one or several, as a tuple; several act in the order given."""
    if patches is None:
        return ()
    several = (patches,) if isinstance(patches, Patch) else tuple(patches)
    for patch in several:
        if not isinstance(patch, Patch):
            raise RoleLensError(f"expected a Patch, got {type(patch).__name__}: {patch!r}")
    return several


@contextmanager
def attached(model: Model, patches: Patches, window: TokenWindow | None = None) -> Iterator[Model]:
    """Attach patches to a model for the time of a `with` block.

    Args:
        window: tells which columns are prompt; None: all are.

    Raises:
        RoleLensError: a patch that doesn't fit the model.
    """
    several = as_sequence(patches)
    for patch in several:
        patch.check(model)
    with attached_together(model, [several], window):
        yield model


@contextmanager
def attached_together(
    model: Model, candidates: Sequence[tuple[Patch, ...]], window: TokenWindow | None = None
) -> Iterator[None]:
    """Attach one or more candidates of the same `form`, each to its own part of the batch.

    The rows of a batch are those of the first candidate, then those of the second, and so on.
    The patches are taken to fit the model.
    """
    hooks = []
    for patches in zip(*candidates, strict=True):
        function = _hook_function(patches, window)
        hooks += [(name, function) for name in patches[0].hook_names(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=hooks):
        yield


def form(candidate: tuple[Patch, ...]) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    """What candidates must have in common to share a batch: kinds, layers and token masks."""
    return tuple((patch.kind, patch.layers, patch.tokens) for patch in candidate)


def _hook_function(patches: Sequence[Patch], window: TokenWindow | None) -> Any:
    tokens = patches[0].tokens

    def change(x: Tensor, hook: Any) -> Tensor:
        if tokens == "all":
            return _changed(patches, x, None)
        if window is None:
            end = torch.full((x.shape[0],), x.shape[1], device=x.device)
            return _changed(patches, x, TokenWindow(end).select(tokens, x.shape[1]))
        return _changed(patches, x, window.select(tokens, x.shape[1]))

    return change


def _changed(patches: Sequence[Patch], x: Tensor, selected: Tensor | None) -> Tensor:
    directions = torch.stack([patch.direction for patch in patches])
    values = torch.tensor([patch.value for patch in patches])
    return intervene(patches[0].kind, x, directions, values, selected)


def _patch(
    kind: Kind,
    direction: Tensor,
    layer: int | Sequence[int],
    value: float,
    tokens: TokenMask,
    fingerprint: Fingerprint | None,
) -> Patch:
    check_tokens(tokens)
    several = layer if isinstance(layer, Sequence) else (layer,)
    try:
        layers = tuple(operator.index(index) for index in several)
    except TypeError as error:
        raise RoleLensError(f"a layer must be a whole number, got {layer!r}") from error
    if any(index < 0 for index in layers):
        raise RoleLensError(f"layers count from 0, got {layers}")
    if len({*layers}) < len(layers):
        raise RoleLensError(f"layers must differ, got {layers}: for more take a larger coefficient")
    if not layers and kind != "ablate":
        raise RoleLensError(f"{kind} needs at least one layer")
    if not torch.isfinite(torch.tensor(float(value))):
        raise RoleLensError(f"{kind} needs a finite coefficient or value, got {value}")
    return Patch(
        kind, direction.detach().float().cpu().clone(), layers, float(value), tokens, fingerprint
    )
