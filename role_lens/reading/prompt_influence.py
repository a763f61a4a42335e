"""Measures how much each prompt has to do with what a direction is estimated to do.

    table = influence(asked, vectors, DirectionSpec("economist", layer=15))
    fewest_that_turn(table)    # prompts without which the estimate has another sign

A direction is linear in its prompts' activations, and the estimate is linear in the direction.
"""

import einops
import pandas as pd

from role_lens._run.activations import activations_at
from role_lens._run.tokens import encode_chat
from role_lens.direction_spec import DirectionSpec
from role_lens.errors import RoleLensError
from role_lens.scoring.asked import AskedQuestions
from role_lens.scoring.attribution import mean_gradient
from role_lens.vectors import RoleVectors


def influence(asked: AskedQuestions, vectors: RoleVectors, spec: DirectionSpec) -> pd.DataFrame:
    """How much the estimated effect of a direction would change without each of its prompts.

    With e = ∇·(mean of the role's activations - mean of the base's) the estimate of `attribute`,
    leaving out prompt i of n changes the role's mean, and so e by ∇·(mean - a_i) / (n - 1): this is
    exact, and costs one dot product for each prompt. Influence functions estimate the same where a
    model is fitted by gradients (Koh and Liang 2017, arXiv 1703.04730).

    Args:
        asked: the questions whose mean margin is estimated.
        vectors: with the prompts that they were fitted on, see `RoleVectors.with_prompts`.
        spec: which direction, of contrast `base`; its coefficient scales the estimate.

    Returns:
        One row per prompt of the role and of the base, those that raise the estimate most first:
        `kind` (`role` or `base`), `prompt` (number from 0), `text`, `influence` (estimate with it
        minus estimate without it, in margins), `projection` (∇·a, times the coefficient) and
        `estimate` (that of all prompts, in every row).

    Raises:
        RoleLensError: the prompts aren't known, another contrast, a group of one prompt.

    Examples:
        >>> from role_lens.reading import influence
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(questions)
        >>> known = vectors.with_prompts(roles, base)
        >>> table = influence(asked, known, DirectionSpec("poet", layer=1))
        >>> len(table) == len(roles["poet"]) + len(base)
        True
    """
    if vectors.prompts is None:
        raise RoleLensError(
            "the prompts of the fit aren't known: give them with RoleVectors.with_prompts"
        )
    if spec.contrast != "base":
        raise RoleLensError(f"influence is of contrast 'base', got {spec.contrast!r}")
    vectors.check(asked.model)
    vectors.direction(spec.role, layer=spec.layer, position=spec.position)  # refuses others
    coefficient = 1.0 if spec.coefficient is None else spec.coefficient
    gradient = coefficient * mean_gradient(asked)[spec.layer]
    role = vectors.roles[vectors.role_index(spec.role)]
    groups = {"role": list(vectors.prompts.roles[role]), "base": list(vectors.prompts.base)}
    tables, means = [], {}
    for kind, texts in groups.items():
        if len(texts) < 2:
            raise RoleLensError(f"expected at least two {kind} prompts, got {len(texts)}")
        tokens = encode_chat(asked.model, texts, vectors.provenance["system"])
        (own,) = activations_at(asked.model, tokens, [(spec.layer, spec.position)])
        projection = einops.einsum(own, gradient, "prompt d, d -> prompt").double().numpy()
        means[kind] = projection.mean()
        sign = 1 if kind == "role" else -1
        changed = sign * (projection - projection.mean()) / (len(texts) - 1)
        columns = {"text": texts, "influence": changed, "projection": projection}
        tables.append(pd.DataFrame({"kind": kind, "prompt": range(len(texts)), **columns}))
    found = pd.concat(tables).assign(estimate=means["role"] - means["base"])
    return found.sort_values("influence", ascending=False, kind="stable", ignore_index=True)


def without(table: pd.DataFrame, prompts: list[int]) -> float:
    """The estimated effect without some prompts of the role, exactly.

    Args:
        table: what `influence` returns.
        prompts: numbers of the role's prompts.

    Raises:
        RoleLensError: no prompt is left.

    Examples:
        >>> from role_lens.reading import influence, without
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(questions)
        >>> table = influence(asked, vectors.with_prompts(roles, base), DirectionSpec("poet", 1))
        >>> bool(abs(without(table, []) - table["estimate"][0]) < 1e-9)
        True
    """
    own = table[table["kind"] == "role"]
    left = own[~own["prompt"].isin(prompts)]
    if not len(left):
        raise RoleLensError("at least one prompt of the role has to be left")
    return float(left["projection"].mean() - table[table["kind"] == "base"]["projection"].mean())


def fewest_that_turn(table: pd.DataFrame) -> list[int] | None:
    """The fewest prompts of the role without which the estimated effect has another sign.

    The estimate without a set of prompts depends on the sum of their projections alone, so that the
    most influential set of each size is that of the largest ones, and greedy choice is exact here,
    which it isn't where influences interact (Hu et al. 2024, arXiv 2409.18153).

    Args:
        table: what `influence` returns.

    Returns:
        Their numbers, the most influential first; None if no set does it.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.reading import fewest_that_turn
        >>> table = pd.DataFrame({"kind": ["role"] * 3 + ["base"], "prompt": [0, 1, 2, 0]})
        >>> table["projection"], table["estimate"] = [6.0, -1.0, -1.5, 0.0], 3.5 / 3
        >>> fewest_that_turn(table)
        [0]
    """
    estimate = float(table["estimate"].iloc[0])
    own = table[table["kind"] == "role"].sort_values("projection", ascending=estimate < 0)
    order = own["prompt"].tolist()
    for n in range(1, len(order)):
        if without(table, order[:n]) * estimate < 0:
            return order[:n]
    return None
