"""Which candidates a sweep tries: every combination of roles, layers, positions and so on.

Knows role vectors, neither models nor questions.
"""

import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from role_lens.directions import Contrast
from role_lens.errors import RoleLensError
from role_lens.patches.patch import Patch
from role_lens.vectors import RoleVectors

SweepKind = Literal["add", "ablate"]


@dataclass(frozen=True)
class Grid:
    """Which candidates to try: every combination. None takes all that the vectors have."""

    roles: tuple[str, ...] | None = None
    layers: tuple[int, ...] | None = None
    positions: tuple[int, ...] | None = None
    contrasts: tuple[Contrast, ...] = ("base",)
    kinds: tuple[SweepKind, ...] = ("add",)
    coefficients: tuple[float, ...] = (1.0,)
    """Of additions, times the raw direction; an ablation has none."""

    def __post_init__(self) -> None:
        # Of Python's own types, however they are given: they are part of the keys of results.
        for name in ("layers", "positions"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _integers(values))
        coefficients = tuple(float(value) for value in self.coefficients)
        object.__setattr__(self, "coefficients", coefficients)


class Cell(NamedTuple):
    """One candidate of a sweep; the baseline is of kind `none`."""

    kind: str
    contrast: Contrast | None = None
    role: str | None = None
    position: int | None = None
    layer: int | None = None
    coefficient: float | None = None

    @property
    def direction(self) -> "Direction":
        """Which direction it is about, whatever is done with it."""
        return Direction(self.contrast, self.role, self.position, self.layer)


class Direction(NamedTuple):
    """Names one of the directions that role vectors give."""

    contrast: Contrast | None
    role: str | None
    position: int | None
    layer: int | None


BASELINE = Cell("none")


def cells_of(vectors: RoleVectors, grid: Grid) -> list[Cell]:
    """The candidates of a grid, but for those whose direction is zero."""
    if isinstance(grid.roles, str):
        raise RoleLensError(f"roles must be a tuple of names, got {grid.roles!r}")
    roles = vectors.roles if grid.roles is None else grid.roles
    names = [vectors.roles[vectors.role_index(role)] for role in roles]
    layers = range(vectors.n_layers) if grid.layers is None else grid.layers
    positions = vectors.positions if grid.positions is None else grid.positions
    if not np.isfinite(grid.coefficients).all():
        raise RoleLensError(f"coefficients must be finite, got {list(grid.coefficients)}")
    for layer, position in itertools.product(layers, positions):
        vectors.direction(vectors.roles[0], layer=layer, position=position)  # refuses others
    cells: dict[Cell, None] = {}  # in order, without repetition
    for kind, contrast in itertools.product(grid.kinds, grid.contrasts):
        if kind not in get_args(SweepKind):
            raise RoleLensError(f"kinds must be of {get_args(SweepKind)}, got {kind!r}")
        zero = vectors.directions(contrast).abs().amax(dim=-1) == 0
        values: Sequence[float | None] = grid.coefficients if kind == "add" else (None,)
        for layer, role, position, value in itertools.product(layers, names, positions, values):
            index = vectors.roles.index(role), vectors.positions.index(position), layer
            if not bool(zero[index]):
                cells[Cell(kind, contrast, role, position, layer, value)] = None
    if not cells:
        raise RoleLensError(
            f"the grid holds no candidate with a direction that is not zero: {grid}"
        )
    return list(cells)


def patches_of(vectors: RoleVectors, cell: Cell) -> tuple[Patch, ...]:
    """What a candidate does to the model: one patch, or none for the baseline."""
    if cell == BASELINE:
        return ()
    where: dict[str, Any] = {
        "layer": cell.layer,
        "position": cell.position,
        "contrast": cell.contrast,
    }
    if cell.kind == "ablate":
        return (vectors.ablate(str(cell.role), **where),)
    assert cell.coefficient is not None
    return (vectors.add(str(cell.role), coefficient=cell.coefficient, **where),)


def _integers(values: Sequence[Any]) -> tuple[int, ...]:
    try:
        return tuple(operator.index(value) for value in values)
    except TypeError as error:
        raise RoleLensError(
            f"layers and positions must be whole numbers, got {values!r}"
        ) from error
