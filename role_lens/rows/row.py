"""Defines a row of a file, and how the names of its fields are compared."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError

Fields = dict[str, Any]


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
    def fields(self) -> Fields:
        """Name as `field_name` gives it -> value; `a.b` is the field `b` of what is in `a`.

        Raises:
            RoleLensError: it holds no fields, or several of one name.

        Examples:
            >>> Row(1, "q.json, row 1", {"Question": {"Stem": "Which is a tree?"}}).fields
            {'question': {'Stem': 'Which is a tree?'}, 'question.stem': 'Which is a tree?'}
        """
        if not isinstance(self.value, Mapping):
            kind = type(self.value).__name__
            raise RoleLensError(f"expected a JSON object, got {kind}")
        fields: Fields = {}
        for key, value in self.value.items():
            name = field_name(key)
            if name in fields:
                raise RoleLensError(f"several fields have the name {name!r}")
            fields[name] = value
        for name, value in [*fields.items()]:
            if isinstance(value, Mapping):
                fields |= {f"{name}.{field_name(inner)}": one for inner, one in value.items()}
        return fields

    def has(self, names: Collection[str]) -> bool:
        """Whether it has a field of one of these names."""
        fields = self.value if isinstance(self.value, Mapping) else ()
        return any(field_name(key) in names for key in fields)


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
