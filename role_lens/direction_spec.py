"""Names one of the directions of a `RoleVectors`, and how many times it is added.

    DirectionSpec("economist", layer=15, coefficient=2.5)

Sweeps, choices, patches and the command line all use this one record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from role_lens.checks import real_number, whole_number
from role_lens.schedule import ONE, check_schedule
from role_lens.values import plain


@dataclass(frozen=True)
class DirectionSpec:
    """Which direction (role, layer, position, contrast), and a coefficient.

    Examples:
        >>> spec = DirectionSpec("economist", layer=15, coefficient=2.5)
        >>> str(spec)
        '2.5 x economist@15 (base, position -1)'
        >>> str(spec.alone)
        'economist@15 (base, position -1)'
    """

    role: str
    """One of the roles of the vectors."""
    layer: int
    """The layer whose input the direction was read from, counted from 0."""
    position: int = -1
    """The token that the direction was read from, counted from the end of the formatted prompt: -1
    is the last."""
    contrast: str = "base"
    """What the role is set against: the `base` prompts, the other `roles`, or what another finder
    calls its contrast."""
    coefficient: float | None = 1.0
    """How many times the raw direction; None where no coefficient applies, as for an ablation."""
    schedule: str = ONE
    """How the coefficient is shared out over the layers around this one: `one` (that layer alone),
    `range:W` or `bell:W`, see `role_lens.schedule`."""

    def __post_init__(self) -> None:
        # Of Python's own types, however they are given: they are part of the keys of results.
        object.__setattr__(self, "layer", whole_number(self.layer, "layer"))
        object.__setattr__(self, "position", whole_number(self.position, "position"))
        if self.coefficient is not None:
            object.__setattr__(self, "coefficient", real_number(self.coefficient, "coefficient"))

        check_schedule(self.schedule)

    @staticmethod
    def of_row(row: Mapping[Any, Any]) -> "DirectionSpec":
        """Read the direction from a row of a table, which has a column for each field.

        Examples:
            >>> row = {"role": "poet", "layer": 1, "position": -1, "contrast": "base"}
            >>> DirectionSpec.of_row({**row, "coefficient": 2.0, "schedule": "one"}).coefficient
            2.0
        """
        fields = ("role", "layer", "position", "contrast", "coefficient", "schedule")
        return DirectionSpec(**{name: plain(row[name]) for name in fields})

    @property
    def alone(self) -> "DirectionSpec":
        """The same direction without a coefficient, which there is then nothing to share out of."""
        return replace(self, coefficient=None, schedule=ONE)

    def __str__(self) -> str:
        times = "" if self.coefficient is None else f"{self.coefficient:g} x "
        which = f"{self.contrast}, position {self.position}"
        which += "" if self.schedule == ONE else f", {self.schedule}"
        return f"{times}{self.role}@{self.layer} ({which})"
