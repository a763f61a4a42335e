"""Computes with directions: differences of means, cosines, components, separability.

    directions = difference_of_means(role_means, base_mean, "roles")
    cosine_similarity(directions)

All functions take and return tensors; none runs a model.
"""

from typing import Any

import einops
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.errors import RoleLensError

MEAN_CONTRASTS = ("base", "roles")
"""The contrasts that are differences of means."""


def difference_of_means(
    role_means: Float[Tensor, "role *rest"],
    base_mean: Float[Tensor, "*rest"],
    contrast: str = "base",
) -> Float[Tensor, "role *rest"]:
    """Role directions: role mean minus a reference mean, not normalised.

    - `"base"`: d_r = mu_r - mu_base, the contrast of arXiv 2502.12055, section 3.
    - `"roles"`: d_r = mu_r - mean over s != r of mu_s. What all roles share cancels.

    Raises:
        RoleLensError: an unknown contrast, or `"roles"` with fewer than two roles.

    Examples:
        >>> from role_lens.directions import difference_of_means
        >>> difference_of_means(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2), "roles")
        tensor([[ 1., -2.],
                [-1.,  2.]])
    """
    if contrast not in MEAN_CONTRASTS:
        raise RoleLensError(f"contrast must be one of {MEAN_CONTRASTS}, got {contrast!r}")
    if contrast == "base":
        return role_means - base_mean
    n_roles = role_means.shape[0]
    if n_roles < 2:
        raise RoleLensError(
            "contrast 'roles' needs at least two roles, got 1: take contrast 'base', or fit "
            "more roles"
        )
    # In float64, so that what is the same for all roles cancels to zero and not to noise.
    means = role_means.double()
    others = (einops.reduce(means, "role ... -> ...", "sum") - means) / (n_roles - 1)
    return (means - others).to(role_means.dtype)


@torch.inference_mode(False)
def as_vectors(value: Any) -> Float[Tensor, "*rest d_model"]:
    """A copy of one or several vectors as a float32 tensor on the CPU, whatever they came in.

    Raises:
        RoleLensError: they are no array of numbers.

    Examples:
        >>> from role_lens.directions import as_vectors
        >>> as_vectors([1, 2])
        tensor([1., 2.])
    """
    try:
        if isinstance(value, Tensor):
            found = value.detach().to("cpu", torch.float32)
        else:
            found = torch.tensor(np.asarray(value, dtype=np.float32))
    except (TypeError, ValueError, RuntimeError) as error:
        raise RoleLensError(
            f"a direction must be a vector of numbers, got {type(value).__name__}"
        ) from error
    if found.ndim == 0:
        raise RoleLensError("a direction must be a vector of numbers, got a single number")
    return found.clone()


def as_vector(value: Any) -> Float[Tensor, " d_model"]:
    """A copy of one vector, as `as_vectors`; axes of length 1 before its own don't count.

    Raises:
        RoleLensError: it is not one vector of numbers.

    Examples:
        >>> from role_lens.directions import as_vector
        >>> as_vector([[1, 2]])
        tensor([1., 2.])
    """
    found = as_vectors(value)
    while found.ndim > 1 and len(found) == 1:
        found = found[0]
    if found.ndim != 1 or len(found) < 2:
        raise RoleLensError(
            f"a direction must be one vector of d_model numbers, got shape {tuple(found.shape)}"
            + (": choose one, such as direction[layer]" if found.ndim > 1 else "")
        )
    return found


def unit(direction: Float[Tensor, "*rest d_model"]) -> Float[Tensor, "*rest d_model"]:
    """Unit vector along each direction: d / |d|, along the last axis.

    Raises:
        RoleLensError: a zero, NaN or infinite direction.

    Examples:
        >>> from role_lens.directions import unit
        >>> unit(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """
    norm = torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
    if not bool(torch.isfinite(norm).all()):
        raise RoleLensError("expected a finite direction, got NaN or infinite entries")
    if bool((norm == 0).any()):
        raise RoleLensError(
            "the direction is zero: role and contrast have the same mean, as they do at layer 0 of "
            "most models; take a later layer"
        )
    return direction / norm


def cosine_similarity(
    directions: Float[Tensor, "role *rest d_model"],
) -> Float[Tensor, "*rest role role"]:
    """Cosine between every two roles' directions, at each of the other axes.

    NaN for a zero direction. Directions at layer 0 are zero in models without learned absolute
    positions: the tokens after the instruction are the same for every prompt, and so are their
    embeddings.

    Examples:
        >>> from role_lens.directions import cosine_similarity
        >>> cosine_similarity(vectors.directions("base")).shape   # position, layer, role, role
        torch.Size([2, 3, 2, 2])
    """
    directions = directions if isinstance(directions, Tensor) else as_vectors(directions)
    units = directions / torch.linalg.vector_norm(directions, dim=-1, keepdim=True)
    return einops.einsum(
        units, units, "role_a ... d_model, role_b ... d_model -> ... role_a role_b"
    )


def mean_cosine(directions: Float[Tensor, "role *rest d_model"]) -> Float[Tensor, "*rest"]:
    """Mean cosine over all pairs of different roles; 1 if all roles have the same direction.

    NaN for a single role, or where a direction is zero.

    Examples:
        >>> from role_lens.directions import mean_cosine
        >>> mean_cosine(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
        tensor(0.3333)
    """
    cosines = cosine_similarity(directions)
    different = ~torch.eye(cosines.shape[-1], dtype=torch.bool, device=cosines.device)
    return cosines[..., different].mean(dim=-1)


def shared_share(
    directions: Float[Tensor, "role *rest d_model"],
) -> Float[Tensor, "role *rest"]:
    """Share of each direction's squared length that lies along the mean of all roles' directions.

    1 where the direction is a multiple of the mean, 0 where it is at right angles to it, NaN where
    either is zero.

    Examples:
        >>> from role_lens.directions import shared_share
        >>> shared_share(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        tensor([0.5000, 0.5000])
    """
    mean = directions.mean(dim=0)
    along = einops.einsum(directions, mean, "role ... d_model, ... d_model -> role ...")
    lengths = directions.square().sum(dim=-1) * mean.square().sum(dim=-1)
    return along.square() / lengths


def principal_components(
    directions: Float[Tensor, "role d_model"], n: int = 2
) -> tuple[Float[Tensor, "role n"], Float[Tensor, " n"]]:
    """Coordinates of directions on their first principal components, and the shares of variance.

    The mean of all roles is subtracted first. A component's sign is such that its largest
    coordinate is positive.

    Returns:
        Coordinates, in the residual stream's units, and the share of the variance between roles
        that each component explains.

    Raises:
        RoleLensError: more components than there can be.

    Examples:
        >>> from role_lens.directions import principal_components
        >>> coordinates, shares = principal_components(torch.tensor([[3.0, 0.0], [1.0, 0.0]]), n=1)
        >>> coordinates.flatten().abs(), shares
        (tensor([1., 1.]), tensor([1.]))
    """
    if not 1 <= n <= min(directions.shape):
        raise RoleLensError(
            f"n must be 1 to {min(directions.shape)} for directions of shape "
            f"{tuple(directions.shape)}, got {n}"
        )
    centred = (directions - directions.mean(dim=0)).double()
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    coordinates = u[:, :n] * s[:n]
    largest = coordinates.gather(0, coordinates.abs().argmax(dim=0)[None])
    variance = s.square() / s.square().sum()
    return (coordinates * largest.sign()).float(), variance[:n].float()


def d_prime(
    signal_mean: Float[Tensor, "*shape"],
    signal_variance: Float[Tensor, "*shape"],
    noise_mean: Float[Tensor, "*shape"],
    noise_variance: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """Sensitivity index d' = (m1 - m0) / sqrt((v1 + v0) / 2), in standard deviations.

    For normal distributions the area under the ROC curve is Phi(d' / sqrt 2) (Green and Swets
    1966). 0 means that signal and noise have the same mean.

    Examples:
        >>> from role_lens.directions import d_prime
        >>> d_prime(torch.tensor(2.0), torch.tensor(1.0), torch.tensor(0.0), torch.tensor(1.0))
        tensor(2.)
    """
    return (signal_mean - noise_mean) / ((signal_variance + noise_variance) / 2).sqrt()
