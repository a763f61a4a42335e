"""A change to the residual stream as plain data, for `evaluate`, `generate` or a `with` block.

patch = Patch.add(direction, layer=15, coefficient=2.0)
with patch.on(model):
    model("How was your day?")
"""

import operator
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias

import einops
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from role_lens._run.fingerprint import Fingerprint, check_fingerprint
from role_lens.directions import unit
from role_lens.errors import RoleLensError
from role_lens.models import Model, check_layer
from role_lens.patches.kind import KINDS
from role_lens.patches.token_masks import TokenMask, check_tokens


@dataclass(frozen=True, eq=False, repr=False)
class Patch:
    """One change to the residual stream x.

    With unit direction u = d/|d| and projection p = x·u, at the chosen tokens:

    - add: x + coefficient · d at `hook_resid_pre` of the given layers;
    - ablate: x - p·u on every block's input, attention output and MLP output;
    - clamp: x + (value - p)·u at `hook_resid_pre` of the given layers;
    - cap: x + min(0, value - p)·u, the same where p is above `value`.

    Token masks: `all`; `prompt` (up to the last prompt token); `generated` (tokens after it);
    `last` (only the last prompt token). They mean the same with and without a key-value cache.

    Example:
        >>> Patch.add(torch.ones(4), layer=1, coefficient=2.0)
        Patch(add, layers [1], value 2, tokens all, |d| 2)

    Source: addition, Turner et al. 2023, arXiv 2308.10248; ablation, Arditi et al. 2024,
    arXiv 2406.11717; both as in arXiv 2502.12055, section 3.
    """

    kind: str
    """One of the files in `role_lens.patches.kinds`."""
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
    def of(
        kind: str,
        direction: Float[Tensor, " d_model"],
        *,
        layer: int | Sequence[int] = (),
        value: float = 0.0,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """A patch of any kind by its name.

        Args:
            kind: one of the files in `role_lens.patches.kinds`.
            direction: raw; kinds that need a unit vector make one of it.
            layer: one layer or several, none for a kind that acts everywhere.
            value: the kind's number: a coefficient, or a projection in the stream's units.
            tokens: which tokens are changed.
            fingerprint: of the model that the direction is from.

        Raises:
            RoleLensError: an unknown kind or token mask, a zero or non-finite direction or
                number, layers that are negative, repeated or missing.

        Example:
            >>> Patch.of("clamp", torch.ones(4), layer=1, value=3.0)
            Patch(clamp, layers [1], value 3, tokens all, |d| 1)
        """
        found = KINDS[kind]
        check_tokens(tokens)
        length_one = unit(direction.float())  # refuses a zero or non-finite one
        layers = () if found.everywhere else _layers(kind, layer)
        if not torch.isfinite(torch.tensor(float(value))):
            raise RoleLensError(f"{kind} needs a finite coefficient or value, got {value}")
        kept = (direction if found.raw else length_one).detach().float().cpu().clone()
        return Patch(kind, kept, layers, float(value), tokens, fingerprint)

    @staticmethod
    def add(
        direction: Float[Tensor, " d_model"],
        *,
        layer: int | Sequence[int],
        coefficient: float = 1.0,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Activation addition: x + coefficient · direction, the raw direction.

        Example:
            >>> Patch.add(torch.ones(4), layer=(0, 1), coefficient=-0.5)
            Patch(add, layers [0, 1], value -0.5, tokens all, |d| 2)
        """
        return Patch.of(
            "add", direction, layer=layer, value=coefficient, tokens=tokens, fingerprint=fingerprint
        )

    @staticmethod
    def ablate(
        direction: Float[Tensor, " d_model"],
        *,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Directional ablation: x - (x·u) u on everything written, at all layers.

        Example:
            >>> Patch.ablate(torch.ones(4))
            Patch(ablate, tokens all, |d| 1)
        """
        return Patch.of("ablate", direction, tokens=tokens, fingerprint=fingerprint)

    @staticmethod
    def clamp(
        direction: Float[Tensor, " d_model"],
        *,
        layer: int | Sequence[int],
        value: float,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Set the projection on the unit direction to `value`.

        Example:
            >>> Patch.clamp(torch.ones(4), layer=1, value=3.0).value
            3.0
        """
        return Patch.of(
            "clamp", direction, layer=layer, value=value, tokens=tokens, fingerprint=fingerprint
        )

    @staticmethod
    def cap(
        direction: Float[Tensor, " d_model"],
        *,
        layer: int | Sequence[int],
        value: float,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Limit the projection on the unit direction to at most `value`.

        Example:
            >>> Patch.cap(torch.ones(4), layer=1, value=3.0, tokens="last").tokens
            'last'
        """
        return Patch.of(
            "cap", direction, layer=layer, value=value, tokens=tokens, fingerprint=fingerprint
        )

    def on(self, model: Model) -> AbstractContextManager[Model]:
        """Context manager with the patch attached to the model; gone afterwards, also after an
        error. Every token counts as prompt here, padding too: use `generate` for the token masks
        in text, and for `last` rows of one length, or padded on the left.

        Raises:
            RoleLensError: the patch doesn't fit the model, see `check`.

        Example:
            >>> with vectors.add("poet", layer=1).on(model):
            ...     logits = model(model.to_tokens("Tea?"))
        """
        from role_lens.patches.attached import attached  # which attaches patches, and so needs them

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

        Example:
            >>> Patch.add(torch.ones(4), layer=0).apply(torch.zeros(1, 1, 4))
            tensor([[[1., 1., 1., 1.]]])
        """
        return apply_together((self,), x, selected)

    def hook_names(self, n_layers: int) -> list[str]:
        """TransformerLens names of the hook points at which the patch acts."""
        return KINDS[self.kind].hook_points(self.layers, n_layers)

    @property
    def first_layer(self) -> int:
        """The first layer whose input the patch changes."""
        return KINDS[self.kind].first_layer(self.layers)


Combined: TypeAlias = tuple[Patch, ...]
"""Patches that act together, in this order; none stands for the unchanged model."""
Patches: TypeAlias = Patch | Sequence[Patch] | None


def combined(patches: Patches) -> Combined:
    """No patch, one or several, as a tuple; several act in the order given.

    Raises:
        RoleLensError: something that is not a patch.
    """
    if patches is None:
        return ()
    several = (patches,) if isinstance(patches, Patch) else tuple(patches)
    for patch in several:
        if not isinstance(patch, Patch):
            raise RoleLensError(f"expected a Patch, got {type(patch).__name__}: {patch!r}")
    return several


def form(candidate: Combined) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    """What candidates must have in common to share a batch: kinds, layers and token masks."""
    return tuple((patch.kind, patch.layers, patch.tokens) for patch in candidate)


def first_layer(candidate: Combined) -> int:
    """The first layer at which a candidate acts; 0 for no patch at all."""
    return min((patch.first_layer for patch in candidate), default=0)


def apply_together(
    patches: Sequence[Patch],
    x: Float[Tensor, "batch pos d_model"],
    selected: Bool[Tensor, "batch pos"] | None,
) -> Float[Tensor, "batch pos d_model"]:
    """The residual stream changed by patches of one form, each on its own part of the batch.

    The rows of the batch are those of the first patch, then as many of the second, and so on.

    Args:
        selected: which tokens to change; None for all.
    """
    stream = einops.rearrange(
        x.float(), "(candidate row) pos d -> candidate row pos d", candidate=len(patches)
    )
    directions = torch.stack([patch.direction for patch in patches]).to(x.device)
    values = torch.tensor([patch.value for patch in patches], device=x.device)
    changed = KINDS[patches[0].kind].change(stream, directions, values)
    changed = einops.rearrange(changed, "candidate row pos d -> (candidate row) pos d")
    if selected is not None:
        changed = torch.where(selected.to(x.device)[..., None], changed, x.float())
    return changed.to(x.dtype)


def _layers(kind: str, layer: int | Sequence[int]) -> tuple[int, ...]:
    several = layer if isinstance(layer, Sequence) else (layer,)
    try:
        layers = tuple(operator.index(index) for index in several)
    except TypeError as error:
        raise RoleLensError(f"a layer must be a whole number, got {layer!r}") from error
    if any(index < 0 for index in layers):
        raise RoleLensError(f"layers count from 0, got {layers}")
    if len({*layers}) < len(layers):
        raise RoleLensError(f"layers must differ, got {layers}: for more take a larger coefficient")
    if not layers:
        raise RoleLensError(f"{kind} needs at least one layer")
    return layers
