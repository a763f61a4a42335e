"""Adds the raw direction and gives every token its old length back.

It is |x| (x + value d) / |x + value d|: the residual stream turns in the plane of both, towards the
direction or, with a negative coefficient, away from it, by an angle that grows with the
coefficient. It acts on the input of some layers.
"""

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, lengths, shifted


def _add_normed(stream: Stream, directions: Directions, values: Values) -> Stream:
    moved = shifted(stream, values[:, None, None], directions)
    # A token that the addition takes to exactly zero has no direction left, and stays zero.
    ratio = lengths(stream) / lengths(moved).clamp_min(1e-30)
    return moved * ratio[..., None]


KIND = PatchKind(
    _add_normed, number="coefficient", formula="|x| (x + value d) / |x + value d|", raw=True
)
