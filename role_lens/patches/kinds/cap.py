"""Capping: x + min(0, value - x·u) u at the input of some layers, so that the projection on the unit
direction is at most `value`."""

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, projection, shifted


def _cap(stream: Stream, directions: Directions, values: Values) -> Stream:
    along = projection(stream, directions)
    return shifted(stream, along.minimum(values[:, None, None]) - along, directions)


KIND = PatchKind(_cap, number="value")
