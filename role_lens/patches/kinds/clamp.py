"""Clamping: x + (value - x·u) u at the input of some layers, so that the projection on the unit
direction is `value`."""

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, projection, shifted


def _clamp(stream: Stream, directions: Directions, values: Values) -> Stream:
    return shifted(stream, values[:, None, None] - projection(stream, directions), directions)


KIND = PatchKind(_clamp, number="value")
