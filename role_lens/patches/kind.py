"""Defines what a kind of patch is: how and where it changes the residual stream.

    KINDS.names                                     # ("ablate", "add", "cap", "clamp")
    KINDS["add"].hook_points((15,), n_layers=30)    # ["blocks.15.hook_resid_pre"]

Each kind is one file in `role_lens.patches.kinds`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from role_lens._registry import Registry

if TYPE_CHECKING:  # the command line lists the kinds before it imports torch
    from role_lens.patches.stream import Directions, Stream, Values

# Everything that is written to the residual stream (Arditi et al., arXiv 2406.11717, section 2.4).
_WRITES = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out")


@dataclass(frozen=True)
class PatchKind:
    """One kind of change to the residual stream.

    Examples:
        >>> from role_lens.patches import PatchKind, projection, shifted
        >>> mirror = PatchKind(lambda x, u, _: shifted(x, -2 * projection(x, u), u), number=None)
        >>> mirror.hook_points((15,), n_layers=30)
        ['blocks.15.hook_resid_pre']
    """

    change: "Callable[[Stream, Directions, Values], Stream]"
    """Gives the changed stream as a new tensor, from the stream and each candidate's direction and
    number (see `role_lens.patches.stream`)."""
    number: Literal["coefficient", "value"] | None
    """What the number of such a patch is: how many times the direction is added (`coefficient`); a
    projection on the unit direction, by default the mean one of the role's prompts times the
    coefficient (`value`); or None, where there is no number."""
    raw: bool = False
    """Whether it takes the raw direction; else it takes the unit vector along it."""
    everywhere: bool = False
    """Whether it acts on the input, attention output and MLP output of every block; else it acts on
    the input of the layers that the patch names."""

    def hook_points(self, layers: Sequence[int], n_layers: int) -> list[str]:
        """TransformerLens names of the places where it acts."""
        if self.everywhere:
            return [f"blocks.{layer}.{write}" for layer in range(n_layers) for write in _WRITES]
        return [f"blocks.{layer}.hook_resid_pre" for layer in layers]

    def first_layer(self, layers: Sequence[int]) -> int:
        """The first layer whose input it changes; what comes before that layer is as without it."""
        return 0 if self.everywhere else min(layers)


KINDS: Registry[PatchKind] = Registry("role_lens.patches.kinds", "KIND", "kind of patch")
"""The kinds of patch, by the names of their files."""
