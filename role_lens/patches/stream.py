"""The residual stream of several candidates at once, and two ways of changing it.

shifted(stream, -projection(stream, units), units)   # takes the component along each unit off
"""

from typing import TypeAlias

import einops
from jaxtyping import Float
from torch import Tensor

Stream: TypeAlias = Float[Tensor, "candidate row pos d_model"]
"""The residual stream of several candidates, each with its own rows, float32."""
Directions: TypeAlias = Float[Tensor, "candidate d_model"]
Values: TypeAlias = Float[Tensor, " candidate"]


def projection(stream: Stream, units: Directions) -> Float[Tensor, "candidate row pos"]:
    """x·u for every token x and its candidate's unit vector u."""
    return einops.einsum(stream, units, "candidate row pos d, candidate d -> candidate row pos")


def shifted(
    stream: Stream, shift: Float[Tensor, "candidate #row #pos"], directions: Directions
) -> Stream:
    """x + shift · direction, in one pass over the stream."""
    return stream.addcmul(shift[..., None], directions[:, None, None])
