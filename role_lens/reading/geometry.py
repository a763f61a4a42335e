"""Measures how separable and how alike role directions are, and groups roles that are alike.

    geometry_by_layer(vectors)
    merges, order = role_tree(cosines)

All of it is computed from fitted vectors alone; no model is needed.
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
    """How separable and how alike the roles' directions are, at every layer and position.

    The table says how well a direction tells held-out prompts of its role from those of the
    reference, which is what the contrast sets a role against (base prompts for `base`, the other
    roles' prompts for `roles`), and how much the directions of different roles have in common:

    - `d_prime`: the sensitivity index d' on held-out prompts, in standard deviations, mean over the
      roles that have enough prompts in both halves;
    - `auc`: the mean of Phi(d' / sqrt 2), the probability that a held-out prompt of the role
      projects further on the direction than one of the reference, if projections are normal; 0.5 is
      chance;
    - `mean_cosine`: over all pairs of roles; NaN of a single role;
    - `shared`: the share of a direction's squared length that lies along the mean of all roles'
      directions, mean over roles; NaN of a single role, and of contrast `roles`, whose directions
      sum to zero;
    - `mean_norm`: mean length of the raw directions, in the residual stream's units.

    Args:
        vectors: fitted ones. Merged vectors have no separation: `d_prime` and `auc` are NaN.

    Returns:
        One row per contrast, position and layer: `contrast, position, layer`, and the columns
        above.

    Examples:
        >>> from role_lens.reading import geometry_by_layer
        >>> table = geometry_by_layer(vectors)
        >>> len(table)    # 2 contrasts, 2 positions, 3 layers
        12
        >>> f"{table['mean_cosine'].iloc[-1]:.2f}"    # contrast `roles`: two that sum to zero
        '-1.00'
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

    Even then directions of contrast `base` are alike, since all of them have the noise of one base
    mean in common. Here the mean of n prompts is taken to be the common mean plus a random vector
    of squared length proportional to 1/n. These vectors are taken to be at right angles to each
    other, as random vectors of many dimensions nearly are.

    Args:
        vectors: only their numbers of prompts are used.

    Returns:
        One row per contrast that is a difference of means: `contrast, mean_cosine, shared`, where
        the latter two are as in `geometry_by_layer`.

    Examples:
        >>> from role_lens.reading import likeness_by_chance
        >>> likeness_by_chance(vectors).round(2)    # as many base prompts as of each role
          contrast  mean_cosine  shared
        0     base          0.5    0.75
        1    roles         -1.0     NaN
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
    """Joins roles into ever larger groups, the nearest first (average linkage of 1 - cosine).

    Args:
        cosines: of every two roles' directions, as `role_lens.directions.cosine_similarity` gives
            them at one layer and position.

    Returns:
        The merges, as `scipy.cluster.hierarchy.linkage` gives them and `dendrogram` draws them: two
        groups, their distance, and the number of roles in both. And an order of the roles in which
        groups stand together.

    Examples:
        >>> from role_lens.reading import role_tree
        >>> cosines = torch.tensor([[1.0, 0.0, 0.9], [0.0, 1.0, 0.1], [0.9, 0.1, 1.0]])
        >>> merges, order = role_tree(cosines)
        >>> merges[0].round(2).tolist(), order    # roles 0 and 2 are joined first, at distance 0.1
        ([2.0, 0.0, 0.1, 2.0], [1, 2, 0])
    """
    distance = 1 - cosines.double().numpy()
    np.fill_diagonal(distance, 0)
    symmetric = np.clip((distance + distance.T) / 2, 0, None)
    merges = hierarchy.linkage(squareform(symmetric), method="average", optimal_ordering=True)
    return merges, hierarchy.leaves_list(merges).tolist()
