"""Changes to the residual stream as TransformerLens hook functions, with token masks.

A `Patch` is plain data: it knows a direction and where to apply it, not where it came from.
"""

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import einops
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from role_lens.directions import unit
from role_lens.errors import RoleLensError
from role_lens.fingerprint import Fingerprint, check_fingerprint
from role_lens.models import Model

Kind = Literal["add", "ablate", "clamp", "cap"]
TokenMask = Literal["all", "prompt", "generated", "last"]

# Everything that is written to the residual stream (Arditi et al., arXiv 2406.11717, section 2.4).
_WRITES = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out")


@dataclass(eq=False)
class TokenWindow:
    """Which columns of the current forward pass belong to the prompt.

    Left-padded rows that are continued with tokens of different number end their prompts in
    different columns; under a key-value cache a pass sees only the newest columns.
    """

    prompt_end: Int[Tensor, " batch"]
    """First column after each row's prompt, counted from the first column of the sequence."""
    offset: int = 0
    """How many columns the key-value cache holds already; generation moves it on."""

    def select(self, tokens: TokenMask, width: int) -> Bool[Tensor, "batch pos"]:
        """True at the columns that a token mask names."""
        end = self.prompt_end[:, None]
        column = torch.arange(self.offset, self.offset + width, device=end.device)[None]
        if tokens == "prompt":
            return column < end
        if tokens == "generated":
            return column >= end
        if tokens == "last":
            return column == end - 1
        return torch.ones_like(column < end)


@dataclass(frozen=True, eq=False)
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
    """Coefficient of `add`; target or ceiling of `clamp` and `cap`, in units of the residual
    stream's own norm. Unused by `ablate`."""
    tokens: TokenMask = "all"
    fingerprint: Fingerprint | None = None
    """Of the model that the direction was read from; None where that is unknown."""

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
        error. Every token counts as prompt here: use `generate` for the token masks in text."""
        return attached(model, self)

    def check(self, model: Model) -> None:
        """Raise a RoleLensError if the patch doesn't fit the model, saying what differs."""
        d_model, n_layers = model.cfg.d_model, model.cfg.n_layers
        if self.direction.shape[0] != d_model:
            raise RoleLensError(
                f"the direction has {self.direction.shape[0]} dimensions, the model's residual "
                f"stream {d_model}: it is from another model"
            )
        for layer in self.layers:
            if layer >= n_layers:
                raise RoleLensError(
                    f"layer {layer} is out of range: the model has layers 0 to {n_layers - 1}"
                )
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
        direction = self.direction.to(x.device)
        stream = x.float()
        if self.kind == "add":
            changed = stream + self.value * direction
        else:
            projection = einops.einsum(stream, direction, "batch pos d, d -> batch pos")
            target = torch.full_like(projection, self.value)
            if self.kind == "cap":
                target = torch.minimum(projection, target)
            # For ablation the target is 0.
            shift = target - projection
            changed = stream + einops.einsum(shift, direction, "batch pos, d -> batch pos d")
        if selected is not None:
            changed = torch.where(selected.to(x.device)[..., None], changed, stream)
        return changed.to(x.dtype)

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
    hooks = []
    for patch in as_sequence(patches):
        patch.check(model)
        function = _hook_function(patch, window)
        hooks += [(name, function) for name in patch.hook_names(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=hooks):
        yield model


def check_tokens(tokens: str) -> None:
    """Raise a RoleLensError unless `tokens` is a known token mask."""
    if tokens not in get_args(TokenMask):
        raise RoleLensError(f"tokens must be one of {get_args(TokenMask)}, got {tokens!r}")


def _hook_function(patch: Patch, window: TokenWindow | None) -> Any:
    def change(x: Tensor, hook: Any) -> Tensor:
        if patch.tokens == "all":
            return patch.apply(x)
        if window is None:
            end = torch.full((x.shape[0],), x.shape[1], device=x.device)
            return patch.apply(x, TokenWindow(end).select(patch.tokens, x.shape[1]))
        return patch.apply(x, window.select(patch.tokens, x.shape[1]))

    return change


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
    layers = tuple(operator.index(index) for index in several)
    if any(index < 0 for index in layers):
        raise RoleLensError(f"layers count from 0, got {layers}")
    if not layers and kind != "ablate":
        raise RoleLensError(f"{kind} needs at least one layer")
    if not torch.isfinite(torch.tensor(float(value))):
        raise RoleLensError(f"{kind} needs a finite coefficient or value, got {value}")
    return Patch(
        kind, direction.detach().float().cpu().clone(), layers, float(value), tokens, fingerprint
    )
