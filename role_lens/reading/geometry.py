"""Tables of how separable and how alike role directions are, by layer.

geometry_by_layer(vectors)
"""

import math

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from torch import Tensor

from role_lens.directions import MEAN_CONTRASTS, difference_of_means, mean_cosine, shared_share
from role_lens.vectors import RoleVectors


def geometry_by_layer(vectors: RoleVectors) -> pd.DataFrame:
    """One row per contrast, position and layer.

    Columns: `d_prime`, the held-out sensitivity index, mean over the roles that have prompts in
    both halves; `auc`, the mean of Phi(d' / sqrt 2), the chance that a held-out prompt of the
    role projects further on the direction than one of the reference, if projections are normal
    (0.5 is chance);
    `mean_cosine` over all pairs of roles, NaN of a single one; `shared`, the share of a direction's
    squared length that lies along the mean of all roles', mean over roles, NaN of a single role and
    of contrast `roles`, whose directions sum to zero; `mean_norm` of the raw directions.
    """
    rows = []
    unknown = torch.full(vectors.role_means.shape[:-1], torch.nan)  # of merged vectors
    for contrast in vectors.contrasts:
        directions = vectors.directions(contrast)
        cosine, norm = mean_cosine(directions), directions.norm(dim=-1).mean(dim=0)
        shared = shared_share(directions).mean(dim=0)
        if contrast == "roles" or len(vectors.roles) == 1:
            shared = torch.full_like(shared, torch.nan)
        separation = vectors.separation.get(contrast, unknown)
        auc = torch.special.ndtr(separation / math.sqrt(2))
        for place, position in enumerate(vectors.positions):
            for layer in range(vectors.n_layers):
                rows.append(
                    {
                        "contrast": contrast,
                        "position": position,
                        "layer": layer,
                        "d_prime": float(separation[:, place, layer].nanmean()),
                        "auc": float(auc[:, place, layer].nanmean()),
                        "mean_cosine": float(cosine[place, layer]),
                        "shared": float(shared[place, layer]),
                        "mean_norm": float(norm[place, layer]),
                    }
                )
    return pd.DataFrame(rows)


def likeness_by_chance(vectors: RoleVectors) -> pd.DataFrame:
    """How alike directions would be if role and base prompts were all of one kind.

    Directions of contrast `base` have the base mean in common, noise and all. A mean of n prompts
    of one kind is the kind's mean and a random vector of squared length proportional to 1/n, at
    right angles to those of other prompts where there are many dimensions.

    Returns:
        One row per contrast that is a difference of means: `contrast, mean_cosine, shared`, as in `geometry_by_layer`.
    """
    counts = torch.cat([vectors.role_counts, torch.tensor([vectors.base_count])])
    noise = torch.diag(counts.double().rsqrt())
    rows = []
    for contrast in (name for name in vectors.contrasts if name in MEAN_CONTRASTS):
        directions = difference_of_means(noise[:-1], noise[-1], contrast)
        shared = float(shared_share(directions).mean())
        if contrast == "roles" or len(vectors.roles) == 1:
            shared = torch.nan
        rows.append((contrast, float(mean_cosine(directions)), shared))
    return pd.DataFrame(rows, columns=["contrast", "mean_cosine", "shared"])


def role_tree(
    cosines: Float[Tensor, "role role"],
) -> tuple[Float[ndarray, "merge 4"], list[int]]:
    """Roles joined into ever larger groups, nearest first, by average linkage of 1 - cosine.

    Returns:
        The merges as `scipy.cluster.hierarchy.linkage` gives them, and an order of the roles in
        which groups stand together.
    """
    distance = 1 - cosines.double().numpy()
    np.fill_diagonal(distance, 0)
    symmetric = np.clip((distance + distance.T) / 2, 0, None)
    merges = hierarchy.linkage(squareform(symmetric), method="average", optimal_ordering=True)
    return merges, hierarchy.leaves_list(merges).tolist()
