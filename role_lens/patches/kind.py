"""What a kind of patch is: its change of the residual stream, where it acts, and from which layer.

KINDS.names                  # ("ablate", "add", "cap", "clamp")
KINDS["add"].hook_points((15,), n_layers=30)    # ["blocks.15.hook_resid_pre"]
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
    """One kind of change to the residual stream."""

    change: "Callable[[Stream, Directions, Values], Stream]"
    """Gives the changed stream as a new tensor, from the stream, directions and values."""
    number: Literal["coefficient", "value"] | None
    """What its number is: how many times the direction; a projection, by default the role's mean
    one times the coefficient; or there is none."""
    raw: bool = False
    """Whether it takes the raw direction; else the unit vector along it."""
    everywhere: bool = False
    """Whether it acts on all that any block reads or writes; else on the input of some layers."""

    def hook_points(self, layers: Sequence[int], n_layers: int) -> list[str]:
        """TransformerLens names of the places where it acts."""
        if self.everywhere:
            return [f"blocks.{layer}.{write}" for layer in range(n_layers) for write in _WRITES]
        return [f"blocks.{layer}.hook_resid_pre" for layer in layers]

    def first_layer(self, layers: Sequence[int]) -> int:
        """The first layer whose input it changes; what comes before is as without it."""
        return 0 if self.everywhere else min(layers)


KINDS: Registry[PatchKind] = Registry("role_lens.patches.kinds", "KIND", "kind of patch")
