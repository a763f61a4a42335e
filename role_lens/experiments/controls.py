"""Directions that a role's direction is compared with: rotated ones, from shuffled labels, and its
shared and specific part.

    rotated(vectors, seed=0).direction("nurse", layer=15)    # a random one, as long
"""

from dataclasses import replace

import einops
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.directions import unit
from role_lens.vectors import RoleVectors


def rotated(vectors: RoleVectors, *, seed: int = 0) -> RoleVectors:
    """The same vectors after one random rotation about the base mean, uniform among all: every
    direction is a random one, of the same length and at the same angles to all others.

    Its provenance is that of the vectors it was made from.
    """
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn((vectors.d_model,) * 2, generator=generator))
    rotation = q * torch.diagonal(r).sign()  # else not uniform (Mezzadri 2007)

    def turn(directions: Tensor) -> Tensor:
        return einops.einsum(
            directions,
            rotation,
            "role position layer d_in, d_out d_in -> role position layer d_out",
        )

    return replace(
        vectors,
        role_means=vectors.base_mean + turn(vectors.role_means - vectors.base_mean),
        found={contrast: turn(directions) for contrast, directions in vectors.found.items()},
    )


def shuffled_directions(
    role: Float[Tensor, "role_prompt d_model"],
    base: Float[Tensor, "base_prompt d_model"],
    n: int,
    *,
    seed: int = 0,
) -> Float[Tensor, "n d_model"]:
    """Differences of means after the labels of role and base prompts were shuffled; the numbers of
    each kept, raw size."""
    both = torch.cat([role, base]).double()
    generator = torch.Generator().manual_seed(seed)
    directions = []
    for _ in range(n):
        mixed = both[torch.randperm(len(both), generator=generator)]
        directions.append(mixed[: len(role)].mean(dim=0) - mixed[len(role) :].mean(dim=0))
    return torch.stack(directions).float()


def shared_and_specific(
    direction: Float[Tensor, " d_model"], shared: Float[Tensor, " d_model"]
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    """A direction's component along the shared one (the mean of all roles' directions, of contrast
    `base`), and the rest.

    Raises:
        RoleLensError: the shared direction is zero.
    """
    along = unit(shared)
    part = einops.einsum(direction, along, "d_model, d_model ->") * along
    return part, direction - part
