"""Keeps the projection on the unit direction at `value` or above: x + max(0, value - x·u) u.

It acts on the input of some layers. On a direction of a role it keeps a conversation in the role
(activation capping, Lu et al. 2026, arXiv 2601.10387).
"""

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, projection, shifted


def _floor(stream: Stream, directions: Directions, values: Values) -> Stream:
    along = projection(stream, directions)
    return shifted(stream, along.maximum(values[:, None, None]) - along, directions)


KIND = PatchKind(_floor, number="value", formula="x + max(0, value - x.u) u")
