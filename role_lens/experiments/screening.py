"""Candidates in the order of their estimated effects, from one gradient that is kept in a folder.

Knows role vectors and cells, not what becomes of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import einops
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.experiments.candidates import Cell
from role_lens.experiments.store import content_hash
from role_lens.files import atomic_write
from role_lens.models import Model
from role_lens.questions.question import Question
from role_lens.scoring.attribution import question_gradients
from role_lens.vectors import RoleVectors


def kept_gradient(
    folder: Path,
    identity: Mapping[str, Any],
    model: Model,
    questions: Sequence[Question],
    **asking: Any,
) -> Float[Tensor, "layer d_model"]:
    """Mean over questions of the gradient that `attribute` takes, from the folder if it is there.

    Args:
        identity: of the run, see `run_identity`; it is the gradient's too.
        asking: scoring and so on, as for `attribute`.
    """
    shape = (model.cfg.n_layers, model.cfg.d_model)
    own = {key: value for key, value in identity.items() if key != "vectors"}
    path = folder / f"gradient-{content_hash(own)[:16]}.npy"
    try:
        kept = np.load(path)
        if kept.shape == shape and kept.dtype == np.float32:
            return torch.from_numpy(kept)
    except (OSError, ValueError, EOFError):  # none yet, or damaged
        pass
    total = torch.zeros(shape, dtype=torch.float64)
    for gradients in question_gradients(model, questions, **asking):
        total += einops.reduce(gradients.double(), "question layer d_model -> layer d_model", "sum")
    gradient = (total / len(questions)).float()
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.save(file, gradient.numpy())
    return gradient


def by_estimate(
    vectors: RoleVectors,
    cells: Iterable[Cell],
    gradient: Float[Tensor, "layer d_model"],
    n: int | None = None,
) -> dict[str, list[Cell]]:
    """Each role's additions, the largest estimated effect first.

    Args:
        gradient: of the mean of log p(correct) with respect to the residual stream entering each
            block, summed over tokens.
        n: only this many directions of each role, the first ones, at all coefficients; None for
            all.
    """
    cells = list(cells)
    effects = {
        contrast: einops.einsum(
            vectors.directions(contrast),
            gradient,
            "role position layer d_model, layer d_model -> role position layer",
        )
        for contrast in {cell.contrast for cell in cells}
        if contrast is not None
    }

    def effect(cell: Cell) -> float:
        contrast, role, position, layer = cell.direction
        assert contrast is not None
        where = vectors.roles.index(str(role)), vectors.positions.index(position), layer
        return float(effects[contrast][where]) * (cell.coefficient or 0.0)

    by_role: dict[str, list[Cell]] = {str(cell.role): [] for cell in cells}
    for cell in sorted(cells, key=effect, reverse=True):
        by_role[str(cell.role)].append(cell)
    return {role: _first_directions(ranked, n) for role, ranked in by_role.items()}


def _first_directions(ranked: Sequence[Cell], n: int | None) -> list[Cell]:
    """The cells of the first n directions, at all coefficients."""
    first = set(list(dict.fromkeys(cell.direction for cell in ranked))[:n])
    return [cell for cell in ranked if cell.direction in first]
