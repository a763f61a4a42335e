"""Mathematics of directions: differences of means, cosines, components, separability.

directions = difference_of_means(role_means, base_mean, "roles")
cosine_similarity(directions)
"""

import einops
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
    """Role directions: role mean minus a reference mean.

    - `"base"`: d_r = mu_r - mu_base, the contrast of arXiv 2502.12055, section 3.
    - `"roles"`: d_r = mu_r - mean over s != r of mu_s. What all roles share cancels.

    Raises:
        RoleLensError: an unknown contrast, or `"roles"` with fewer than two roles.
    """
    if contrast not in MEAN_CONTRASTS:
        raise RoleLensError(f"contrast must be one of {MEAN_CONTRASTS}, got {contrast!r}")
    if contrast == "base":
        return role_means - base_mean
    n_roles = role_means.shape[0]
    if n_roles < 2:
        raise RoleLensError(
            "contrast 'roles' needs at least two roles: of one there is 'base' only"
        )
    # In float64, so that what is the same for all roles cancels to zero and not to noise.
    means = role_means.double()
    others = (einops.reduce(means, "role ... -> ...", "sum") - means) / (n_roles - 1)
    return (means - others).to(role_means.dtype)


def unit(direction: Float[Tensor, "*rest d_model"]) -> Float[Tensor, "*rest d_model"]:
    """d / |d| along the last axis.

    Raises:
        RoleLensError: a zero, NaN or infinite direction.
    """
    norm = torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
    if not bool(torch.isfinite(norm).all()):
        raise RoleLensError("the direction has NaN or infinite entries")
    if bool((norm == 0).any()):
        raise RoleLensError(
            "the direction is zero: role and contrast have the same mean, as they do at layer 0 of "
            "most models; take a later layer"
        )
    return direction / norm


def cosine_similarity(
    directions: Float[Tensor, "role *rest d_model"],
) -> Float[Tensor, "*rest role role"]:
    """Cosines between every two roles, at each of the other axes; NaN for a zero direction.

    Without learned absolute positions, directions at layer 0 are zero: the tokens after the
    instruction are the same for every prompt, and so are their embeddings.
    """
    units = directions / torch.linalg.vector_norm(directions, dim=-1, keepdim=True)
    return einops.einsum(
        units, units, "role_a ... d_model, role_b ... d_model -> ... role_a role_b"
    )


def mean_cosine(directions: Float[Tensor, "role *rest d_model"]) -> Float[Tensor, "*rest"]:
    """Mean cosine over all pairs of different roles: 1 means that they are one
    direction. NaN for a single role."""
    cosines = cosine_similarity(directions)
    different = ~torch.eye(cosines.shape[-1], dtype=torch.bool, device=cosines.device)
    return cosines[..., different].mean(dim=-1)


def shared_share(
    directions: Float[Tensor, "role *rest d_model"],
) -> Float[Tensor, "role *rest"]:
    """Share of each direction's squared length that lies along the mean of all roles': 1 where it
    is nothing else, 0 where it is at right angles to it. NaN where either is zero."""
    mean = directions.mean(dim=0)
    along = einops.einsum(directions, mean, "role ... d_model, ... d_model -> role ...")
    lengths = directions.square().sum(dim=-1) * mean.square().sum(dim=-1)
    return along.square() / lengths


def principal_components(
    directions: Float[Tensor, "role d_model"], n: int = 2
) -> tuple[Float[Tensor, "role n"], Float[Tensor, " n"]]:
    """Coordinates of directions on their first principal components, and the share of the variance
    between roles that each explains.

    The mean of all roles is taken off; a component's sign is such that its largest coordinate is
    positive.

    Raises:
        RoleLensError: more components than there can be.
    """
    if not 1 <= n <= min(directions.shape):
        raise RoleLensError(f"{tuple(directions.shape)} directions have no {n} components")
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

    For normal distributions the area under the ROC curve is Phi(d' / sqrt 2)
    (Green and Swets 1966). 0 means inseparable.
    """
    return (signal_mean - noise_mean) / ((signal_variance + noise_variance) / 2).sqrt()
