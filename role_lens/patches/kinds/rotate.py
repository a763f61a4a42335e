"""Turns the residual stream towards the direction by an angle in degrees; its length stays.

The stream x turns in the plane of x and d: its angle φ to the direction becomes φ - value, but not
less than 0 nor more than 180 degrees, so that it never turns past the direction. Where x lies along
d already there is no plane, and nothing changes. It acts on the input of some layers (angular
steering, Vu and Nguyen 2025, arXiv 2510.26243; there the plane is the same for all tokens).
"""

import math

import einops

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, lengths, projection, shifted


def _rotate(stream: Stream, directions: Directions, values: Values) -> Stream:
    along = projection(stream, directions)
    across = shifted(stream, -along, directions)
    across = shifted(across, -projection(across, directions), directions)  # what rounding left
    length, height = lengths(stream), lengths(across)
    angle = einops.rearrange(values, "candidate -> candidate 1 1") * (math.pi / 180)
    turned = (height.atan2(along) - angle).clamp(0, math.pi)
    flat = (across / height.clamp_min(1e-30)[..., None]) * (length * turned.sin())[..., None]
    moved = shifted(flat, length * turned.cos(), directions)
    in_a_line = (height <= 1e-5 * length) | (angle == 0)
    return stream.where(in_a_line[..., None], moved)


KIND = PatchKind(
    _rotate,
    number="angle",
    formula="x turned by value degrees towards u, in the plane of both and not past u",
)
