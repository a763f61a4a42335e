"""Makes directions that a role's direction is compared with.

    rotated(vectors, seed=0).direction("nurse", layer=15)    # a random one, as long

They are rotated directions, directions from shuffled labels, and the direction's own shared and
specific part.
"""

from dataclasses import replace

import einops
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.directions import unit
from role_lens.vectors import RoleVectors


def rotated(vectors: RoleVectors, *, seed: int = 0) -> RoleVectors:
    """Rotate role vectors at random about the base mean: every direction becomes a random one.

    It is one rotation for all of them, uniform among all rotations. So directions keep their
    lengths and the angles between them. Means turn too, and the provenance stays that of the
    original vectors.

    Examples:
        >>> from role_lens.experiments import rotated
        >>> own = vectors.direction("poet", layer=1)
        >>> random = rotated(vectors, seed=0).direction("poet", layer=1)
        >>> torch.allclose(own.norm(), random.norm(), rtol=1e-3), torch.allclose(own, random)
        (True, False)
    """
    rotation = random_rotation(vectors.d_model, seed=seed)

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
        separation={},
    )


def random_rotation(d_model: int, *, seed: int) -> Float[Tensor, "d_out d_in"]:
    """A rotation (or reflection) drawn uniformly: an orthogonal matrix."""
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn((d_model,) * 2, generator=generator))
    return q * torch.diagonal(r).sign()  # else not uniform (Mezzadri 2007)


def rotation(vectors: RoleVectors, seed: int, number: int) -> RoleVectors:
    """One of a seed's random rotations, for null bands, see `seed_of_rotation`."""
    return rotated(vectors, seed=seed_of_rotation(seed, number))


def seed_of_rotation(seed: int, number: int) -> int:
    """The seed of one of a seed's random rotations.

    It is the same however many rotations there are, so what is finished stays valid when more are
    asked for; and no two seeds share one among their first million.
    """
    # Torch takes no larger seeds; of a prime, so that large seeds don't fall together.
    return (1_000_000 * seed + number) % (2**61 - 1)


def random_directions(d_model: int, n: int, *, seed: int = 0) -> Float[Tensor, "n d_model"]:
    """Unit vectors drawn uniformly; the first ones are the same however many there are.

    Examples:
        >>> from role_lens.experiments import random_directions
        >>> random_directions(32, n=5).norm(dim=-1)
        tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000])
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(d_model, generator=generator) for _ in range(n)]
    return unit(torch.stack(drawn)) if drawn else torch.empty((0, d_model))


def shuffled_directions(
    role: Float[Tensor, "role_prompt d_model"],
    base: Float[Tensor, "base_prompt d_model"],
    n: int,
    *,
    seed: int = 0,
) -> Float[Tensor, "n d_model"]:
    """Differences of means between role and base prompts whose labels were shuffled.

    Each has as many prompts of either label as there were; directions are raw (not normalised).

    Args:
        role: activations of the role's prompts.
        base: activations of the base prompts.
        n: number of directions.

    Examples:
        >>> from role_lens.experiments import shuffled_directions
        >>> shuffled_directions(torch.ones(10, 32), torch.zeros(20, 32), n=5).shape
        torch.Size([5, 32])
    """
    both = torch.cat([role, base]).double()
    generator = torch.Generator().manual_seed(seed)
    directions = []
    for _ in range(n):
        mixed = both[torch.randperm(len(both), generator=generator)]
        directions.append(mixed[: len(role)].mean(dim=0) - mixed[len(role) :].mean(dim=0))
    if not directions:
        return torch.empty((0, role.shape[1]))
    return torch.stack(directions).float()


def shared_and_specific(
    direction: Float[Tensor, " d_model"], shared: Float[Tensor, " d_model"]
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    """Split a direction into its shared part, the component along another one, and the rest.

    Args:
        direction: a role's direction.
        shared: the mean of all roles' directions, of contrast `base`.

    Returns:
        Shared and specific part; their sum is the direction.

    Raises:
        RoleLensError: the shared direction is zero.

    Examples:
        >>> from role_lens.experiments import shared_and_specific
        >>> shared_and_specific(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0]))
        (tensor([3., 0.]), tensor([0., 4.]))
    """
    along = unit(shared)
    part = einops.einsum(direction, along, "d_model, d_model ->") * along
    return part, direction - part
