"""Measures how a persona prompt moves the model, and how far that lies along a role's direction.

shift = persona_shift(model, prompts, ["You are a nurse."], vectors.positions)[0, 0]
shift_along_directions(shift, vectors, "nurse")
"""

from collections.abc import Sequence

import einops
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.activations import sum_activations
from role_lens._run.tokens import encode_chat
from role_lens.models import Model
from role_lens.vectors import RoleVectors


def persona_shift(
    model: Model,
    prompts: Sequence[str],
    personas: Sequence[str],
    positions: Sequence[int],
    *,
    instead_of: Sequence[str | None] = (None,),
) -> Float[Tensor, "persona instead_of position layer d_model"]:
    """Mean change of the residual stream that system messages make, on the same prompts.

    Args:
        personas: the system messages, such as "You are a nurse."
        instead_of: those that each is compared with; None for the chat template's own default.
    """
    groups = [encode_chat(model, prompts, system) for system in (*personas, *instead_of)]
    means = sum_activations(model, groups, positions).mean()
    return (means[: len(personas), None] - means[None, len(personas) :]).float()


def shift_along_directions(
    shift: Float[Tensor, "position layer d_model"], vectors: RoleVectors, role: str
) -> pd.DataFrame:
    """How much of a shift lies along a role's direction, beside the other roles'.

    Returns:
        One row per contrast, position and layer: `cosine` with the role's own direction, `others`,
        the mean cosine with the other roles', `rank` of the own among all (1 is the nearest), and
        `along`, the length of the shift along it over the direction's own length: what coefficient
        the persona prompt comes to. NaN where the shift or the direction is zero.
    """
    own = vectors.role_index(role)
    rows = []
    for contrast in vectors.contrasts:
        directions = vectors.directions(contrast)
        dots = einops.einsum(
            directions,
            shift,
            "role position layer d_model, position layer d_model -> role position layer",
        )
        lengths = torch.linalg.vector_norm(directions, dim=-1)
        cosines = dots / (lengths * torch.linalg.vector_norm(shift, dim=-1))
        others = torch.cat([cosines[:own], cosines[own + 1 :]]).mean(dim=0)
        rank = (cosines > cosines[own]).sum(dim=0) + 1.0
        rank[cosines[own].isnan()] = torch.nan
        along = dots[own] / lengths[own].square()
        for place, position in enumerate(vectors.positions):
            for layer in range(vectors.n_layers):
                at = place, layer
                numbers = (cosines[own][at], others[at], rank[at], along[at])
                rows.append((contrast, position, layer, *map(float, numbers)))
    names = ["contrast", "position", "layer", "cosine", "others", "rank", "along"]
    return pd.DataFrame.from_records(rows, columns=names)
