"""Orders candidates by their estimated effects, from one gradient that is kept in a run folder.

    gradient = kept_gradient(store, asked)
    by_estimate(vectors, candidates, gradient, n=10)["economist"]    # the best first

The estimates are those of `attribute`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import einops
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.experiments.candidates import Candidate
from role_lens.experiments.store import ARRAY, Form, Store
from role_lens.scoring.asked import AskedQuestions
from role_lens.scoring.attribution import question_gradients
from role_lens.vectors import RoleVectors


def kept_gradient(store: Store, asked: AskedQuestions) -> Float[Tensor, "layer d_model"]:
    """Mean over questions of the gradient that `attribute` takes; kept in the run folder.

    Args:
        store: run folder of these questions.
    """
    cfg = asked.model.cfg
    shape = (cfg.n_layers, cfg.d_model)

    def make() -> np.ndarray:
        total = torch.zeros(shape, dtype=torch.float64)
        for gradients in question_gradients(asked):
            total += einops.reduce(
                gradients.double(), "question layer d_model -> layer d_model", "sum"
            )
        return (total / len(asked)).float().numpy()

    def read(path: Path) -> np.ndarray:
        kept = ARRAY.read(path)
        if kept.shape != shape or kept.dtype != np.float32:
            raise ValueError(f"a gradient of shape {kept.shape}, type {kept.dtype}")
        return kept

    return torch.from_numpy(store.keep("gradient.npy", make, Form(read, ARRAY.write)))


def by_estimate(
    vectors: RoleVectors,
    candidates: Iterable[Candidate],
    gradient: Float[Tensor, "layer d_model"],
    n: int | None = None,
) -> dict[str, list[Candidate]]:
    """Each role's additions, the largest estimated effect first.

    Args:
        gradient: of the mean of log p(correct) with respect to the residual stream entering each
            block, summed over tokens.
        n: take only this many directions of each role, the first ones, at all coefficients; None
            for all.
    """
    candidates = list(candidates)
    effects = {
        contrast: einops.einsum(
            vectors.directions(contrast),
            gradient,
            "role position layer d_model, layer d_model -> role position layer",
        )
        for contrast in {candidate.spec.contrast for candidate in candidates}
    }

    def effect(candidate: Candidate) -> float:
        spec = candidate.spec
        where = vectors.roles.index(spec.role), vectors.positions.index(spec.position), spec.layer
        return float(effects[spec.contrast][where]) * (spec.coefficient or 0.0)

    by_role: dict[str, list[Candidate]] = {one.spec.role: [] for one in candidates}
    for candidate in sorted(candidates, key=effect, reverse=True):
        by_role[candidate.spec.role].append(candidate)
    return {role: _first_directions(ranked, n) for role, ranked in by_role.items()}


def _first_directions(ranked: Sequence[Candidate], n: int | None) -> list[Candidate]:
    """The candidates of the first n directions, at all coefficients."""
    first = set(list(dict.fromkeys(one.spec.alone for one in ranked))[:n])
    return [one for one in ranked if one.spec.alone in first]
