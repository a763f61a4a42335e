"""Measures how sure a direction is: by how many prompts, by halves, by resampling, and by each prompt
alone.

    stability_by_number(role, base, numbers=[8, 16, 32])    # activations: prompt x d_model
"""

from collections.abc import Sequence

import einops
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from role_lens.directions import unit
from role_lens.errors import RoleLensError

Activations = Float[Tensor, "prompt d_model"]


def held_out_auc(
    role: Activations, reference: Float[Tensor, "other d_model"], *, folds: int = 5, seed: int = 0
) -> float:
    """How often a role's prompt projects further than another's on a direction that neither
    helped to make: the area under the ROC curve, by cross-validation; 0.5 is chance.

    Args:
        reference: the base prompts, or the other roles'.

    Raises:
        RoleLensError: fewer prompts than folds.
    """
    if min(len(role), len(reference)) < folds:
        raise RoleLensError(
            f"{folds} folds need as many prompts of either kind, got {len(role)} and "
            f"{len(reference)}"
        )
    rng = np.random.default_rng(seed)
    parts = [np.array_split(rng.permutation(len(some)), folds) for some in (role, reference)]
    areas = []
    for out_role, out_reference in zip(*parts, strict=True):
        direction = _mean_without(role, out_role) - _mean_without(reference, out_reference)
        inside, outside = role[out_role] @ direction, reference[out_reference] @ direction
        test = stats.mannwhitneyu(inside.numpy(), outside.numpy())
        areas.append(test.statistic / (len(inside) * len(outside)))
    return float(np.mean(areas))


def _mean_without(
    activations: Activations, out: Int[np.ndarray, " _"]
) -> Float[Tensor, " d_model"]:
    kept = torch.ones(len(activations), dtype=torch.bool)
    kept[out] = False
    return activations[kept].mean(dim=0)


def stability_by_number(
    role: Activations,
    reference: Float[Tensor, "other d_model"],
    numbers: Sequence[int],
    *,
    repeats: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """How alike are directions from different prompts, by how many there are?

    Two disjoint samples of n role prompts and of as many reference prompts (at most half of each)
    give two directions; `split_half` is their cosine. `reliability` is what Spearman and Brown's
    formula 2r / (1 + r) makes of its mean: the expected cosine² of a direction from 2n prompts
    with the true one.

    Returns:
        One row per number that half of the role's prompts allow: `n, split_half` (mean over
        repeats), `low, high` (5 % and 95 % quantile), `reliability`.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for n in numbers:
        if not 1 <= n <= len(role) // 2:
            continue
        m = min(n, len(reference) // 2)
        cosines = []
        for _ in range(repeats):
            ours, theirs = rng.permutation(len(role)), rng.permutation(len(reference))
            one = role[ours[:n]].mean(dim=0) - reference[theirs[:m]].mean(dim=0)
            two = role[ours[n : 2 * n]].mean(dim=0) - reference[theirs[m : 2 * m]].mean(dim=0)
            cosines.append(float(torch.cosine_similarity(one, two, dim=0)))
        mean = float(np.mean(cosines))
        low, high = np.quantile(cosines, [0.05, 0.95])
        rows.append((n, mean, float(low), float(high), 2 * mean / (1 + mean)))
    return pd.DataFrame.from_records(
        rows, columns=["n", "split_half", "low", "high", "reliability"]
    )


def bootstrap_cosines(
    role: Activations,
    reference: Float[Tensor, "other d_model"],
    *,
    n: int | None = None,
    repeats: int = 200,
    seed: int = 0,
) -> Float[Tensor, " repeat"]:
    """Cosines of the direction with those from prompts drawn again, with replacement.

    Args:
        n: how many are drawn of either kind, at most as many as there are; default: all.
    """
    rng = np.random.default_rng(seed)
    whole = role.mean(dim=0) - reference.mean(dim=0)
    # Weights instead of copies: one product gives all resampled means.
    drawn = []
    for some in (role, reference):
        size = len(some) if n is None else min(n, len(some))
        weights = rng.multinomial(size, np.full(len(some), 1 / len(some)), repeats)
        drawn.append(torch.from_numpy(weights).to(some.dtype) @ some / size)
    return torch.cosine_similarity(drawn[0] - drawn[1], whole[None], dim=1)


def leave_one_out(
    role: Activations, reference: Float[Tensor, "other d_model"]
) -> Float[Tensor, " prompt"]:
    """How far each prompt alone turns the direction: 1 - cosine of the direction with that from
    all the other prompts, exactly.

    Raises:
        RoleLensError: fewer than two prompts.
    """
    n = len(role)
    if n < 2:
        raise RoleLensError("leaving one out needs at least two prompts")
    total = einops.reduce(role.double(), "prompt d_model -> d_model", "sum")
    base = reference.double().mean(dim=0)
    without = (total - role.double()) / (n - 1) - base
    whole = unit(total / n - base)
    return (1 - unit(without) @ whole).float()
