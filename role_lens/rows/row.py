"""Defines a row of a file, and how the names of its fields are compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError


class NoRowsError(RoleLensError):
    """Raised for a file that holds something else than the rows that are looked for."""


@dataclass(frozen=True)
class Row:
    """One row of a file."""

    number: int
    """Its line in a file that has one row a line, else its place among the rows; from 1."""
    place: str
    """File and line, or file and row, for error messages."""
    value: Any
    """What it holds."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Field -> value.

        Raises:
            RoleLensError: it holds none.
        """
        if not isinstance(self.value, Mapping):
            kind = type(self.value).__name__
            raise RoleLensError(f"expected a JSON object, got {kind}")
        return self.value


def field_name(text: object) -> str:
    """The form in which names of fields are compared: lower case, without spaces.

    Examples:
        >>> field_name("Option A")
        'option_a'
    """
    return "_".join(str(text).replace("-", " ").lower().split())


def numbered(path: Path, values: Iterable[Any]) -> list[Row]:
    """Rows of a file that hasn't one a line."""
    return [Row(n, f"{path}, row {n}", value) for n, value in enumerate(values, start=1)]
