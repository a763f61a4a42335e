"""Sets the projection on the unit direction to `value`: x + (value - x·u) u.

It acts on the input of some layers.
"""

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, projection, shifted


def _clamp(stream: Stream, directions: Directions, values: Values) -> Stream:
    return shifted(stream, values[:, None, None] - projection(stream, directions), directions)


KIND = PatchKind(_clamp, number="value", formula="x + (value - x.u) u")
