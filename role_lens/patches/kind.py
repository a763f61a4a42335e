"""Defines what a kind of patch is: how and where it changes the residual stream.

    KINDS.names              # ("ablate", "add", "add_normed", "cap", "clamp", "floor", "rotate")
    KINDS["add"].hook_points((15,), model)          # ["blocks.15.hook_resid_pre"]

Each kind is one file in `role_lens.patches.kinds`.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from role_lens._registry import Registry
from role_lens.errors import RoleLensError

if TYPE_CHECKING:  # the command line lists the kinds before it imports torch
    from role_lens.models import Model
    from role_lens.patches.stream import Directions, Stream, Values

MASKS = ("all", "prompt", "generated", "last", "answer", "not_first")
"""Token masks that have names; see `role_lens.patches.TokenMask`."""


@dataclass(frozen=True)
class PatchKind:
    """One kind of change to the residual stream.

    Examples:
        >>> from role_lens.patches import PatchKind, projection, shifted
        >>> mirrored = lambda x, u, _: shifted(x, -2 * projection(x, u), u)
        >>> mirror = PatchKind(mirrored, number=None, formula="x - 2 (x.u) u")
        >>> mirror.hook_points((1,), model)
        ['blocks.1.hook_resid_pre']
    """

    change: "Callable[[Stream, Directions, Values], Stream]"
    """Gives the changed stream as a new tensor, from the stream and each candidate's direction and
    number (see `role_lens.patches.stream`)."""
    number: Literal["coefficient", "value", "angle"] | None
    """What the number of such a patch is: how many times the direction is added (`coefficient`); a
    projection on the unit direction, by default the mean one of the role's prompts times the
    coefficient (`value`); an angle in degrees, by default that between the mean of the role's
    prompts and the same mean without the direction, times the coefficient (`angle`); or None, where
    there is no number."""
    formula: str
    """The change in symbols, for who reads a patch's file: x is the stream, d the raw direction, u
    the unit vector along it, value the number."""
    raw: bool = False
    """Whether it takes the raw direction; else it takes the unit vector along it."""
    everywhere: bool = False
    """Whether it acts on all that the residual stream is made of: the input of every block, what
    attention and MLP write to it, and what is read between them and after the last block. Else it
    acts on the input of the layers that the patch names."""

    @property
    def has_strength(self) -> bool:
        """Whether there is more and less of it: whether its number can be multiplied, and shared
        out over layers."""
        return self.number in ("coefficient", "angle")

    def hook_points(self, layers: Sequence[int], model: "Model") -> list[str]:
        """TransformerLens names of the places where it acts.

        Raises:
            RoleLensError: it acts everywhere, and a block has no hook points inside.
        """
        if not self.everywhere:
            return [f"blocks.{layer}.hook_resid_pre" for layer in layers]
        n, known = model.cfg.n_layers, model.hook_dict
        points = [point for layer in range(n) for point in _everywhere(layer, known)]
        return [*points, f"blocks.{n - 1}.hook_resid_post"]

    def first_layer(self, layers: Sequence[int]) -> int:
        """The first layer whose input it changes; what comes before that layer is as without it."""
        return 0 if self.everywhere else min(layers)


def _everywhere(layer: int, known: Container[str]) -> list[str]:
    """Hook points of a block, of those that the model has: its input, the outputs of attention and
    MLP, and the stream between them.

    Where a norm follows attention or MLP its output is hooked, since that is what is added to the
    stream. Blocks without attention have no common name for their output: it is caught where the
    stream is read next. Blocks with attention and MLP side by side, or with one of them, have no
    middle.
    """
    block = f"blocks.{layer}."
    attention, mlp = (
        norm if block + norm in known else write
        for norm, write in (
            ("ln1_post.hook_out", "hook_attn_out"),
            ("ln2_post.hook_out", "hook_mlp_out"),
        )
    )
    places = [block + place for place in (attention, "hook_resid_mid", mlp)]
    inside = [place for place in places if place in known]
    if not inside and block + "hook_mixer_out" not in known:
        raise RoleLensError(
            f"TransformerLens has no hook points inside block {layer} of this model, so that what "
            "is read there can't be changed: take a kind of patch that acts at chosen layers"
        )
    return [f"{block}hook_resid_pre", *inside]


KINDS: Registry[PatchKind] = Registry("role_lens.patches.kinds", "KIND", "kind of patch")
"""The kinds of patch, by the names of their files."""
