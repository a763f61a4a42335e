"""Computes on the residual stream of several candidates at once; what kinds of patch are made of.

    shifted(stream, -projection(stream, units), units)   # removes the component along each unit

Everything here is float32, and nothing is changed in place.
"""

from typing import TypeAlias

import einops
from jaxtyping import Float
from torch import Tensor

Stream: TypeAlias = Float[Tensor, "candidate row pos d_model"]
"""The residual stream of several candidates, each with its own rows; float32."""
Directions: TypeAlias = Float[Tensor, "candidate d_model"]
"""One direction for each candidate."""
Values: TypeAlias = Float[Tensor, " candidate"]
"""One number for each candidate: a coefficient, a projection, or an angle in degrees."""


def projection(stream: Stream, units: Directions) -> Float[Tensor, "candidate row pos"]:
    """Project every token's residual stream x on its candidate's unit vector u: x·u.

    Examples:
        >>> from role_lens.patches import projection
        >>> stream = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)    # candidate, row, pos, d_model
        >>> projection(stream, torch.tensor([[0.0, 1.0]]))
        tensor([[[4.]]])
    """
    return einops.einsum(stream, units, "candidate row pos d, candidate d -> candidate row pos")


def shifted(
    stream: Stream, shift: Float[Tensor, "candidate #row #pos"], directions: Directions
) -> Stream:
    """Shift the residual stream along each candidate's direction: x + shift · direction.

    Args:
        shift: how many times the direction, for each token or for all tokens of a candidate.

    Examples:
        >>> from role_lens.patches import shifted
        >>> stream = torch.zeros(1, 1, 1, 2)                      # candidate, row, pos, d_model
        >>> shifted(stream, torch.tensor([[[2.0]]]), torch.tensor([[1.0, 3.0]]))
        tensor([[[[2., 6.]]]])
    """
    return stream.addcmul(shift[..., None], directions[:, None, None])


def lengths(stream: Stream) -> Float[Tensor, "candidate row pos"]:
    """Length of every token's residual stream.

    Examples:
        >>> from role_lens.patches import lengths
        >>> lengths(torch.tensor([3.0, 4.0]).view(1, 1, 1, 2))    # candidate, row, pos, d_model
        tensor([[[5.]]])
    """
    return einops.reduce(stream.square(), "candidate row pos d -> candidate row pos", "sum").sqrt()
