"""Limits the projection on the unit direction to at most `value`: x + min(0, value - x·u) u.

It acts on the input of some layers.
"""

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, projection, shifted


def _cap(stream: Stream, directions: Directions, values: Values) -> Stream:
    along = projection(stream, directions)
    return shifted(stream, along.minimum(values[:, None, None]) - along, directions)


KIND = PatchKind(_cap, number="value", formula="x + min(0, value - x.u) u")
