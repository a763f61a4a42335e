"""Orders candidates by their estimated effects, from one gradient that is kept in a run folder.

    gradient = kept_gradient(store, asked)
    by_estimate(vectors, candidates, gradient, n=10)["economist"]    # the best first

The estimates are those of `attribute`.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import einops
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.direction_spec import DirectionSpec
from role_lens.experiments.candidates import Candidate
from role_lens.experiments.store import ARRAY, Form, Store
from role_lens.schedule import layer_weights
from role_lens.scoring.asked import AskedQuestions
from role_lens.scoring.attribution import mean_gradient
from role_lens.vectors import RoleVectors

_MOST_TRIED = 20
"""Directions of a role that are held against a limit, at most."""


def kept_gradient(store: Store, asked: AskedQuestions) -> Float[Tensor, "layer d_model"]:
    """The gradient of the mean margin that `attribute` takes; kept in the run folder.

    Args:
        store: run folder of these questions.
    """
    cfg = asked.model.cfg
    shape = (cfg.n_layers, cfg.d_model)

    def make() -> np.ndarray:
        return mean_gradient(asked).numpy()

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
    *,
    allowed: Callable[[Candidate], bool] | None = None,
) -> dict[str, list[Candidate]]:
    """Each role's additions, the largest estimated effect first.

    Args:
        gradient: of the mean margin with respect to the residual stream entering each
            block, summed over tokens.
        n: take only this many directions of each role, the first ones, at all coefficients; None
            for all.
        allowed: of these many only candidates for which it is true, so that a direction beyond a
            limit gives way to the next best. After 20 directions of a role it is left at those
            that were found. Not asked where all are taken.
    """
    candidates = list(candidates)
    effects = {
        (contrast, schedule): einops.einsum(
            vectors.directions(contrast),
            _weights(schedule, vectors.n_layers),
            gradient,
            "role position layer d_model, layer at, at d_model -> role position layer",
        )
        for contrast, schedule in {(one.spec.contrast, one.spec.schedule) for one in candidates}
    }

    def effect(candidate: Candidate) -> float:
        spec = candidate.spec
        where = vectors.roles.index(spec.role), vectors.positions.index(spec.position), spec.layer
        return float(effects[spec.contrast, spec.schedule][where]) * (spec.coefficient or 0.0)

    by_role: dict[str, list[Candidate]] = {one.spec.role: [] for one in candidates}
    for candidate in sorted(candidates, key=effect, reverse=True):
        by_role[candidate.spec.role].append(candidate)
    if n is None:
        return by_role
    return {role: _first_directions(ranked, n, allowed) for role, ranked in by_role.items()}


def _weights(schedule: str, n_layers: int) -> Float[Tensor, "layer at"]:
    """What every layer takes of a direction of each layer."""
    weights = torch.zeros((n_layers, n_layers))
    for layer in range(n_layers):
        for at, weight in layer_weights(schedule, layer, n_layers).items():
            weights[layer, at] = weight
    return weights


def _first_directions(
    ranked: Sequence[Candidate], n: int, allowed: Callable[[Candidate], bool] | None
) -> list[Candidate]:
    """The candidates of the first n directions, at all coefficients that are allowed."""
    by_direction: dict[DirectionSpec, list[Candidate]] = {}
    for one in ranked:
        by_direction.setdefault(one.spec.alone, []).append(one)
    kept: set[Candidate] = set()
    taken = 0
    for several in list(by_direction.values())[: _MOST_TRIED if allowed else None]:
        some = [one for one in several if allowed is None or allowed(one)]
        kept.update(some)
        taken += bool(some)
        if taken == n:
            break
    return [one for one in ranked if one in kept]
