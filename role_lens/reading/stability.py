"""Measures how far a direction depends on the prompts that it was made from.

    stability_by_number(role, base, numbers=[8, 16, 32])    # cosines of two disjoint samples

The arguments are activations of single prompts at one layer and position (prompt x d_model, as
`activations_at` gives them): those of a role's prompts, and those of the reference, which are base
prompts or other roles' prompts. The direction is the difference of the two means.
"""

from collections.abc import Sequence

import einops
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from role_lens._run.exclusive import with_usual_defaults
from role_lens.directions import unit
from role_lens.errors import RoleLensError

Activations = Float[Tensor, "prompt d_model"]


@with_usual_defaults
def held_out_auc(
    role: Activations, reference: Float[Tensor, "other d_model"], *, folds: int = 5, seed: int = 0
) -> float:
    """How well a direction tells apart prompts that had no part in making it.

    The prompts of both kinds are divided into folds. Each fold's prompts are projected on the
    difference of means of all other folds, and the area under the ROC curve is taken: the
    probability that a prompt of the role projects further on the direction than one of the
    reference.

    Args:
        role: activations of the role's prompts.
        reference: activations of the base prompts, or of the other roles' prompts.
        folds: how many parts; each is left out once.
        seed: of the division into folds.

    Returns:
        The mean area over folds: 1 if the two kinds are fully separated, 0.5 by chance.

    Raises:
        RoleLensError: fewer prompts of either kind than folds.

    Examples:
        >>> from role_lens.reading import held_out_auc
        >>> states = torch.randn(80, 8, generator=torch.Generator().manual_seed(0))
        >>> held_out_auc(states[:40] + 9, states[40:])    # two groups that lie far apart
        1.0
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


@with_usual_defaults
def stability_by_number(
    role: Activations,
    reference: Float[Tensor, "other d_model"],
    numbers: Sequence[int],
    *,
    repeats: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """How alike directions from different prompts are, by the number of prompts.

    For each number n, two disjoint samples of n role prompts, and of as many reference prompts (but
    at most half of these each), give two directions. Their cosine is taken, and that is repeated
    with other samples.

    Args:
        role: activations of the role's prompts.
        reference: activations of the base prompts, or of the other roles' prompts.
        numbers: the numbers n; those above half of the role's prompts are left out.
        repeats: pairs of samples for each n.
        seed: of the samples.

    Returns:
        One row per number: `n`; `split_half`, the mean cosine of the two directions; `low, high`,
        its 5 % and 95 % quantiles over repeats; and `reliability`, 2r / (1 + r) of that mean r
        (Spearman and Brown's formula): the expected squared cosine of a direction from 2n prompts
        with the one that endless prompts would give.

    Examples:
        >>> from role_lens.reading import stability_by_number
        >>> states = torch.randn(80, 8, generator=torch.Generator().manual_seed(0))
        >>> table = stability_by_number(states[:40] + 1, states[40:], numbers=[2, 8, 20, 30])
        >>> table["n"].tolist(), table["split_half"].is_monotonic_increasing
        ([2, 8, 20], True)
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


@with_usual_defaults
def bootstrap_cosines(
    role: Activations,
    reference: Float[Tensor, "other d_model"],
    *,
    n: int | None = None,
    repeats: int = 200,
    seed: int = 0,
) -> Float[Tensor, " repeat"]:
    """Cosines of a direction with directions from resampled prompts.

    Each resample draws role prompts and reference prompts with replacement. These cosines are
    higher than those of two disjoint samples, mostly because only one of the two directions is
    noisy, and a little because a resample shares prompts with the whole. Whether other prompts
    would give the same direction is what `stability_by_number` answers.

    Args:
        role: activations of the role's prompts.
        reference: activations of the base prompts, or of the other roles' prompts.
        n: how many prompts of either kind are drawn, at most as many as there are; None for all.
        repeats: resamples.
        seed: of the resamples.

    Returns:
        The cosine of each resample's direction with the direction of all prompts.

    Examples:
        >>> from role_lens.reading import bootstrap_cosines
        >>> states = torch.randn(80, 8, generator=torch.Generator().manual_seed(0))
        >>> cosines = bootstrap_cosines(states[:40] + 9, states[40:])
        >>> len(cosines), bool(cosines.min() > 0.99)
        (200, True)
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


@with_usual_defaults
def leave_one_out(
    role: Activations, reference: Float[Tensor, "other d_model"]
) -> Float[Tensor, " prompt"]:
    """How far each prompt alone turns a direction.

    Args:
        role: activations of the role's prompts, at least two.
        reference: activations of the base prompts, or of the other roles' prompts.

    Returns:
        For each prompt of the role: 1 - cosine of the whole direction with the direction without
        that prompt, exactly. 0 means that it turns nothing.

    Raises:
        RoleLensError: fewer than two prompts of the role, or a direction that is zero.

    Examples:
        >>> from role_lens.reading import leave_one_out
        >>> states = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> leave_one_out(states, torch.zeros(4, 2)).argmax()    # the prompt unlike the others
        tensor(3)
    """
    n = len(role)
    if n < 2:
        raise RoleLensError("leaving one out needs at least two prompts")
    total = einops.reduce(role.double(), "prompt d_model -> d_model", "sum")
    base = reference.double().mean(dim=0)
    without = (total - role.double()) / (n - 1) - base
    whole = unit(total / n - base)
    return (1 - unit(without) @ whole).float()
