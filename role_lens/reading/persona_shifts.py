"""Measures how a persona prompt moves the model, and how far that lies along a role's direction.

    shift = persona_shift(model, prompts, ["You are a nurse."], vectors.positions)[0, 0]
    shift_along_directions(shift, vectors, "nurse")

A persona prompt is a system message that asks for a role in words. Its shift is the change of the
residual stream that it makes, which is compared with the directions that the role's prompts gave.
"""

from collections.abc import Sequence

import einops
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.activations import sum_activations
from role_lens._run.exclusive import with_usual_defaults
from role_lens._run.tokens import encode_chat
from role_lens.errors import RoleLensError
from role_lens.models import Model
from role_lens.vectors import RoleVectors


@with_usual_defaults
def persona_shift(
    model: Model,
    prompts: Sequence[str],
    personas: Sequence[str],
    positions: Sequence[int],
    *,
    instead_of: Sequence[str | None] = (None,),
) -> Float[Tensor, "persona instead_of position layer d_model"]:
    """Change of the residual stream that system messages make, in the mean over prompts.

    Every prompt is run under every system message; the result is the difference of two means over
    the same prompts.

    Args:
        model: any model of `load_model`.
        prompts: user turns; base prompts, for example.
        personas: the system messages, such as "You are a nurse."
        positions: token positions, negative, from the end of the formatted prompt.
        instead_of: the system messages that each persona is compared with; None stands for the chat
            template's own default.

    Returns:
        Mean residual stream entering each block under the persona, minus that under the message it
        is compared with; float32, in the residual stream's units.

    Raises:
        RoleLensError: an empty prompt, a position that the shortest prompt doesn't have, a chat
            template that takes no system message.

    Examples:
        >>> from role_lens.reading import persona_shift
        >>> shift = persona_shift(model, base, ["You are a poet."], vectors.positions)
        >>> shift.shape    # persona, instead_of, position, layer, d_model
        torch.Size([1, 1, 2, 3, 32])
    """
    groups = [encode_chat(model, prompts, system) for system in (*personas, *instead_of)]
    means = sum_activations(model, groups, positions).mean()
    return (means[: len(personas), None] - means[None, len(personas) :]).float()


def shift_along_directions(
    shift: Float[Tensor, "position layer d_model"], vectors: RoleVectors, role: str
) -> pd.DataFrame:
    """How far a shift lies along a role's own direction, beside the other roles' directions.

    Args:
        shift: such as one persona's from `persona_shift`, at the positions of the vectors.
        vectors: the directions, of the same model.
        role: the role whose own direction the shift is compared with.

    Returns:
        One row per contrast, position and layer: `cosine` of the shift with the role's own
        direction; `others`, the mean cosine with the other roles' directions; `rank` of the own
        direction among all by cosine (1 is the nearest); and `along`, the shift's projection on the
        own direction, divided by that direction's length: the coefficient with which an addition
        goes as far. NaN where the shift or the direction is zero, as at layer 0 of most models.

    Raises:
        RoleLensError: the vectors don't have the role, or the shift is of another shape.

    Examples:
        >>> from role_lens.reading import shift_along_directions
        >>> shift = 2 * vectors.directions("base")[0]    # twice the poet's own
        >>> table = shift_along_directions(shift, vectors, "poet")
        >>> table.loc[[2], ["contrast", "layer", "cosine", "rank", "along"]].round(3)
          contrast  layer  cosine  rank  along
        2     base      2     1.0   1.0    2.0
    """
    own = vectors.role_index(role)
    expected = vectors.base_mean.shape
    if shift.shape != expected:
        raise RoleLensError(
            f"the shift has shape {tuple(shift.shape)}, expected {tuple(expected)}: position, "
            "layer and d_model of the vectors"
        )
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
