"""Lists the candidate directions of a grid: all combinations of roles, layers, positions and so on.

    candidates_of(vectors, Grid(roles=("economist",), layers=(10, 15)))

A candidate is a direction, a coefficient, and what is done with them.
"""

import itertools
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from role_lens.direction_spec import DirectionSpec
from role_lens.errors import RoleLensError
from role_lens.experiments.options import Grid
from role_lens.patches.kind import KINDS
from role_lens.patches.patch import Patch
from role_lens.schedule import ONE, layer_weights
from role_lens.vectors import RoleVectors

COLUMNS = ("kind", "contrast", "role", "position", "layer", "coefficient", "schedule")
"""Columns of tables that name a candidate; the unpatched model is of kind `none`."""
BASELINE = "none"


@dataclass(frozen=True)
class Candidate:
    """A direction that is tried, and what is done with it."""

    kind: str
    spec: DirectionSpec

    @property
    def labels(self) -> dict[str, Any]:
        """The candidate as columns of tables."""
        return {"kind": self.kind, **{name: getattr(self.spec, name) for name in COLUMNS[1:]}}

    @property
    def first_layer(self) -> int:
        """The first layer at which the candidate changes the model."""
        layer = self.spec.layer
        weights = layer_weights(self.spec.schedule, layer, layer + 1)  # of the layers before it
        return KINDS[self.kind].first_layer((*weights,))

    @property
    def form(self) -> Hashable:
        """What candidates of one first layer must have in common to share a batch: spread over
        several layers, those of other layers are other ones."""
        spread = self.spec.schedule != ONE
        return self.kind, self.spec.schedule, self.spec.layer if spread else None

    def patch(self, vectors: RoleVectors) -> Patch:
        """What the candidate does to the model."""
        return vectors.patch(self.kind, self.spec)


def candidates_of(vectors: RoleVectors, grid: Grid) -> list[Candidate]:
    """The candidates of a grid, except those whose direction is zero.

    Raises:
        RoleLensError: roles, layers, positions or contrasts that the vectors don't have, or no
            candidate at all.
    """
    roles = vectors.roles if grid.roles is None else grid.roles
    names = [vectors.roles[vectors.role_index(role)] for role in roles]
    layers = range(vectors.n_layers) if grid.layers is None else grid.layers
    positions = vectors.positions if grid.positions is None else grid.positions
    contrasts = vectors.contrasts if grid.contrasts is None else grid.contrasts
    role, some_contrast = vectors.roles[0], vectors.contrasts[0]
    for layer, position in itertools.product(layers, positions):  # others are refused
        vectors.direction(role, layer=layer, position=position, contrast=some_contrast)
    found: dict[Candidate, None] = {}  # in order, without repetition
    for kind, contrast in itertools.product(grid.kinds, contrasts):
        some = vectors.directions(contrast).abs().amax(dim=-1) > 0  # not where it is zero or NaN
        coefficients = grid.coefficients if KINDS[kind].number is not None else (None,)
        schedules = grid.schedules if KINDS[kind].has_strength else (ONE,)
        for layer, role, position, coefficient, schedule in itertools.product(
            layers, names, positions, coefficients, schedules
        ):
            index = vectors.roles.index(role), vectors.positions.index(position), layer
            if bool(some[index]):
                spec = DirectionSpec(role, layer, position, contrast, coefficient, schedule)
                found[Candidate(kind, spec)] = None
    if not found:
        raise RoleLensError(
            "the grid has no candidates: it is empty, or all its directions are zero, as at layer "
            f"0 of most models; got {grid}"
        )
    return list(found)
