"""Describes a change of the residual stream as plain data.

    patch = Patch.add(direction, layer=15, coefficient=2.0)
    with patch.on(model):
        model("How was your day?")

`evaluate` and `generate` take patches, and `RoleVectors` makes them from its directions.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import einops
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from role_lens._run.fingerprint import Fingerprint, check_fingerprint
from role_lens.checks import real_number, whole_number
from role_lens.directions import as_vector, unit
from role_lens.errors import RoleLensError
from role_lens.models import Model, check_layer, check_model
from role_lens.patches.gate import Gate
from role_lens.patches.kind import KINDS
from role_lens.patches.token_masks import TokenMask, check_tokens
from role_lens.values import as_list, shown

Layers: TypeAlias = int | Sequence[int] | Mapping[int, float]
"""Where a patch acts: a layer, several, or several with the share of its number that each takes."""


@dataclass(frozen=True, eq=False, repr=False)
class Patch:
    """One change of the residual stream x.

    With unit direction u = d/|d| and projection p = x·u, at the chosen tokens:

    - add: x + coefficient · d on the input of the given layers (`hook_resid_pre`);
    - add_normed: the same, and every token gets its old length back;
    - ablate: x - p·u on every block's input, attention output and MLP output, and on what is read
      between them and after the last block;
    - clamp: x + (value - p)·u on the input of the given layers;
    - cap: x + min(0, value - p)·u, the same as clamp where p is above `value`, else nothing;
    - floor: x + max(0, value - p)·u, the same as clamp where p is below `value`, else nothing;
    - rotate: x turned towards d by an angle, at its own length, and never past d.

    An addition or a rotation can be shared out over several layers by weights, see
    `role_lens.schedule`.

    A token mask chooses the tokens, such as `all`, `prompt` or `answer`; see
    `role_lens.patches.TokenMask`. Masks mean the same with and without a key-value cache.

    Examples:
        >>> Patch.add(torch.ones(4), layer=1, coefficient=2.0)
        Patch(add, layers [1], value 2, tokens all, |d| 2)

    Source: addition, Turner et al. 2023, arXiv 2308.10248; ablation, Arditi et al. 2024, arXiv
    2406.11717; both as in arXiv 2502.12055, section 3.
    """

    kind: str
    """One of the files in `role_lens.patches.kinds`."""
    direction: Float[Tensor, " d_model"]
    """The raw direction for the additions, the unit vector along it for the others; float32."""
    layers: tuple[int, ...]
    """Layers whose input is changed, counted from 0; empty for `ablate`, which acts at all."""
    weights: tuple[float, ...]
    """How much of the value each of the layers takes: one number for each, by default 1."""
    value: float
    """The kind's number: the coefficient of an addition; for `clamp`, `cap` and `floor` the
    projection p that is set, or the highest or the lowest one, in the residual stream's units; for
    `rotate` the angle in degrees. `ablate` has no use for it."""
    tokens: TokenMask = "all"
    """The token mask."""
    fingerprint: Fingerprint | None = None
    """Fingerprint of the model that the direction was read from, with which `check` refuses other
    models; None where it is unknown."""
    gate: Gate | None = None
    """Decides at which prompts the patch acts; None for all. See `behind`."""

    def __repr__(self) -> str:
        where = f"layers {list(self.layers)}, " if self.layers else ""
        if self.weighted:
            where += f"weights {[round(weight, 3) for weight in self.weights]}, "
        where += f"value {self.value:g}, " if KINDS[self.kind].number is not None else ""
        gate = f", behind {self.gate}" if self.gate is not None else ""
        size = f"|d| {self.direction.norm():.3g}"
        return f"Patch({self.kind}, {where}tokens {self.tokens}, {size}{gate})"

    @staticmethod
    def of(
        kind: str,
        direction: Float[Tensor, " d_model"],
        *,
        layer: Layers = (),
        value: float = 0.0,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Make a patch of any kind by its name.

        Args:
            kind: one of the files in `role_lens.patches.kinds`.
            direction: a raw direction, as a tensor, a numpy array or a list of numbers; kinds that
                need a unit vector normalise it.
            layer: one layer or several; a mapping of layers to weights shares the number out over
                them; none for a kind that acts everywhere.
            value: the kind's number: a coefficient, a projection in the residual stream's units, or
                an angle in degrees.
            tokens: token mask, see `role_lens.patches.TokenMask`.
            fingerprint: fingerprint of the model that the direction is from.

        Raises:
            RoleLensError: an unknown kind or token mask, a direction that is zero or not finite, a
                number that is not finite, layers that are negative, repeated or missing, or
                weights for a kind whose number can't be shared out.

        Examples:
            >>> Patch.of("clamp", torch.ones(4), layer=1, value=3.0)
            Patch(clamp, layers [1], value 3, tokens all, |d| 1)
            >>> Patch.of("rotate", torch.ones(4), layer={1: 0.5, 2: 0.5}, value=20.0)
            Patch(rotate, layers [1, 2], weights [0.5, 0.5], value 20, tokens all, |d| 1)
        """
        found = KINDS[kind]
        check_tokens(tokens)
        raw = as_vector(direction)
        length_one = unit(raw)  # refuses a zero or non-finite one
        weights = {} if found.everywhere else _weights(kind, layer)
        if not found.has_strength and any(weight != 1 for weight in weights.values()):
            raise RoleLensError(
                f"a patch of kind {kind!r} can't be shared out over layers, since its number is no "
                f"strength: name the layers alone, {tuple(weights)}"
            )
        number = real_number(value, f"the {found.number or 'value'} of {kind}")
        number = 0.0 if found.number is None else number  # it would only tell equal patches apart
        return Patch(
            kind,
            raw if found.raw else length_one,
            tuple(weights),
            tuple(weights.values()),
            number,
            tokens,
            fingerprint,
        )

    @staticmethod
    def add(
        direction: Float[Tensor, " d_model"],
        *,
        layer: Layers,
        coefficient: float = 1.0,
        tokens: TokenMask = "all",
        fingerprint: Fingerprint | None = None,
    ) -> "Patch":
        """Make an activation addition: x + coefficient · direction, with the raw direction.

        Examples:
            >>> Patch.add(torch.ones(4), layer=(0, 1), coefficient=-0.5)
            Patch(add, layers [0, 1], value -0.5, tokens all, |d| 2)
            >>> Patch.add(torch.ones(4), layer={1: 0.25, 2: 0.75}).weights
            (0.25, 0.75)
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
        """Make a directional ablation: x - (x·u) u, on all that is read or written at any layer.

        Examples:
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
        """Make a patch that sets the projection on the unit direction to `value`.

        Examples:
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
        """Make a patch that limits the projection on the unit direction to at most `value`.

        Examples:
            >>> Patch.cap(torch.ones(4), layer=1, value=3.0, tokens="last").tokens
            'last'
        """
        return Patch.of(
            "cap", direction, layer=layer, value=value, tokens=tokens, fingerprint=fingerprint
        )

    def behind(self, gate: Gate | None) -> "Patch":
        """The same patch, acting only at prompts at which a gate is open; None for all prompts.

        `generate` and `evaluate` take such patches. Hooks that are attached
        to a model (`on`), and other programs, can't decide for each prompt, and refuse them.

        Examples:
            >>> gate = Gate(vectors.direction("cook", layer=1), layer=1, threshold=1e9)
            >>> never = vectors.add("poet", layer=1, coefficient=9.0).behind(gate)
            >>> generate(model, "Tea?", patch=never) == generate(model, "Tea?")
            True
        """
        if gate is not None and not isinstance(gate, Gate):
            raise RoleLensError(f"expected a Gate or None, got {shown(gate)}")
        return replace(self, gate=gate)

    def save(self, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
        """Write the patch to a safetensors file, whose header says in words what it does.

        Args:
            path: the file, such as nurse.safetensors.
            about: what else is known of it, as JSON values.

        Raises:
            RoleLensError: something that is not JSON, a file that can't be written.

        Examples:
            >>> vectors.add("poet", layer=1).save(folder / "poet.safetensors")
            >>> Patch.load(folder / "poet.safetensors").layers
            (1,)
        """
        from role_lens.patches.patch_file import write_patches  # which writes patches

        write_patches(path, self, about)

    @staticmethod
    def load(path: str | Path) -> "Patch":
        """Read a patch that `save` wrote.

        Raises:
            RoleLensError: the file is missing, damaged, or holds several patches that act together,
                which `role_lens.patches.read_patches` reads.

        Examples:
            >>> vectors.ablate("cook", layer=2).save(folder / "no-cook.safetensors")
            >>> Patch.load(folder / "no-cook.safetensors").kind
            'ablate'
        """
        from role_lens.patches.patch_file import read_patches

        patches = read_patches(path).patches
        if len(patches) > 1:
            raise RoleLensError(
                f"{path} holds {len(patches)} patches that act together: read them with "
                "role_lens.patches.read_patches"
            )
        return patches[0]

    def on(self, model: Model) -> AbstractContextManager[Model]:
        """Attach the patch to a model for the time of a `with` block.

        It is gone afterwards, also after an error. Inside the block every token counts as prompt,
        padding too: `last` means the last column and `not_first` all but the first, so that rows
        must be of one length. A mask for tokens after the prompt is refused, since it would change
        nothing, and so is a pass with a key-value cache under a mask that counts tokens: `generate`
        and `evaluate` take such patches. Other threads that run the model
        through this package wait until the block is left.

        Raises:
            RoleLensError: the patch doesn't fit the model, see `check`, its mask has only tokens
                after the prompt, or it is behind a gate.

        Examples:
            >>> tokens = torch.tensor(encode_chat(model, ["Tea?"]))
            >>> with vectors.add("poet", layer=1).on(model):
            ...     patched = model(tokens)
            >>> torch.equal(patched, model(tokens))
            False
        """
        from role_lens.patches.hooks import attached  # which attaches patches, and so needs them

        return attached(model, self)

    def check(self, model: Model) -> None:
        """Raise a RoleLensError if the patch doesn't fit the model, saying what differs.

        Examples:
            >>> vectors.add("poet", layer=1).check(model)    # says nothing: it fits
        """
        check_model(model)
        d_model = model.cfg.d_model
        if self.direction.shape[0] != d_model:
            raise RoleLensError(
                f"the direction has {self.direction.shape[0]} dimensions, the model's residual "
                f"stream {d_model}: it is from another model, or no direction of this one"
            )
        for layer in self.layers:
            check_layer(model, layer)
        if self.fingerprint is not None:
            check_fingerprint(self.fingerprint, model)
        if self.gate is not None:
            self.gate.check(model)

    def apply(
        self,
        x: Float[Tensor, "batch pos d_model"],
        selected: Bool[Tensor, "batch pos"] | None = None,
        layer: int | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """The changed residual stream, as a new tensor of x's type; computed in float32.

        Args:
            selected: which tokens to change; None for all.
            layer: at which of the patch's layers; None where all have the same weight.

        Raises:
            RoleLensError: the weights differ and no layer is named, it is none of the patch's, or
                the patch is behind a gate, which has to see the prompt.

        Examples:
            >>> Patch.add(torch.ones(4), layer=0).apply(torch.zeros(1, 1, 4))
            tensor([[[1., 1., 1., 1.]]])
        """
        if self.gate is not None:
            raise RoleLensError("whether a patch behind a gate acts is a matter of the prompt")
        if layer is not None and layer not in self.layers:
            raise RoleLensError(f"the patch acts at layers {self.layers}, got layer {layer}")
        if layer is None and len({*self.weights}) > 1:
            raise RoleLensError(
                f"the patch does more at some layers than at others: say at which of {self.layers}"
            )
        place = 0 if layer is None else self.layers.index(layer)
        return apply_together((self,), x, selected, place)

    def hook_names(self, model: Model) -> list[str]:
        """TransformerLens names of the hook points of a model at which the patch acts.

        Examples:
            >>> vectors.add("poet", layer=1).hook_names(model)
            ['blocks.1.hook_resid_pre']
        """
        check_model(model)
        return KINDS[self.kind].hook_points(self.layers, model)

    def number_at(self, place: int) -> float:
        """The kind's number at one of its hook points: the value, times the weight of the layer.

        Args:
            place: index into `hook_names`, and where a kind acts at layers, into `layers`.

        Examples:
            >>> Patch.add(torch.ones(4), layer={1: 0.25, 2: 0.75}, coefficient=4.0).number_at(1)
            3.0
        """
        return self.value * self.weights[place] if self.weights else self.value

    @property
    def weighted(self) -> bool:
        """Whether some layer takes more or less than the whole value."""
        return any(weight != 1 for weight in self.weights)

    @property
    def first_layer(self) -> int:
        """The first layer whose input the patch changes."""
        return KINDS[self.kind].first_layer(self.layers)


Combined: TypeAlias = tuple[Patch, ...]
"""Patches that act together, in this order; the empty tuple stands for the unpatched model."""
Patches: TypeAlias = Patch | Sequence[Patch] | None
"""What functions take as a patch: one, several that act together in the order given, or None for
the unpatched model."""


def combined(patches: Patches) -> Combined:
    """No patch, one or several, as a tuple.

    Raises:
        RoleLensError: something that is not a patch.
    """
    if patches is None:
        return ()
    try:
        several = (patches,) if isinstance(patches, Patch) else tuple(patches)
    except TypeError as error:
        raise RoleLensError(f"expected a Patch, several or None, got {shown(patches)}") from error
    for patch in several:
        if not isinstance(patch, Patch):
            given = patches if isinstance(patches, str) else patch
            raise RoleLensError(
                f"expected a Patch, such as vectors.add('nurse', layer=15), got {shown(given)}"
            )
    return several


def named_patches(patches: Any) -> dict[str, Combined]:
    """Named patches, each as a tuple of those that act together.

    Raises:
        RoleLensError: something that is no mapping of names to patches.
    """
    if not isinstance(patches, Mapping):
        raise RoleLensError(
            "patches must be a mapping of names to patches, such as {'baseline': None, 'steered': "
            f"patch}}, got {shown(patches)}"
        )
    return {name: combined(patch) for name, patch in patches.items()}


def form(candidate: Combined) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    """What candidates must have in common to share a batch: kinds, layers and token masks. Their
    weights may differ."""
    return tuple((patch.kind, patch.layers, patch.tokens) for patch in candidate)


def first_layer(candidate: Combined) -> int:
    """The first layer at which a candidate acts; 0 for no patch at all."""
    return min((patch.first_layer for patch in candidate), default=0)


def apply_together(
    patches: Sequence[Patch],
    x: Float[Tensor, "batch pos d_model"],
    selected: Bool[Tensor, "batch pos"] | None,
    place: int,
) -> Float[Tensor, "batch pos d_model"]:
    """The residual stream changed by patches of one form, each on its own part of the batch.

    The rows of the batch are those of the first patch, then as many of the second, and so on.

    Args:
        selected: which tokens to change; None for all.
        place: which of their hook points it is.
    """
    stream = einops.rearrange(
        x.float(), "(candidate row) pos d -> candidate row pos d", candidate=len(patches)
    )
    directions = torch.stack([patch.direction for patch in patches]).to(x.device)
    values = torch.tensor([patch.number_at(place) for patch in patches], device=x.device)
    changed = KINDS[patches[0].kind].change(stream, directions, values)
    changed = einops.rearrange(changed, "candidate row pos d -> (candidate row) pos d")
    if selected is not None:
        changed = torch.where(selected.to(x.device)[..., None], changed, x.float())
    return changed.to(x.dtype)


def _weights(kind: str, layer: Layers) -> dict[int, float]:
    """Layer -> how much of the value it takes."""
    if isinstance(layer, Mapping):
        weights = [real_number(weight, "the weight of a layer") for weight in layer.values()]
        if not all(weights):
            raise RoleLensError(f"the weight of a layer must not be 0, got {shown(dict(layer))}")
        return dict(zip(_layers(kind, list(layer)), weights, strict=True))
    return dict.fromkeys(_layers(kind, layer), 1.0)


def _layers(kind: str, layer: int | Sequence[int]) -> tuple[int, ...]:
    several = as_list(layer)
    several = [layer] if several is None else several
    layers = tuple(whole_number(index, "a layer") for index in several)
    if any(index < 0 for index in layers):
        raise RoleLensError(f"layers count from 0, got {layers}")
    if len({*layers}) < len(layers):
        raise RoleLensError(
            f"layers must differ, got {layers}: to add more at a layer, take a larger coefficient"
        )
    if not layers:
        raise RoleLensError(f"a patch of kind {kind!r} needs at least one layer, got none")
    return layers
