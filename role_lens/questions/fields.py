"""Finds fields of a row under one of several names.

    first_of({"gold": 2}, "answer|gold")    # 2

`a|b` is the field `a`, or where that isn't there `b`; `a.b` is the field `b` of what is in `a`.
"""

from collections.abc import Mapping
from typing import Any

from role_lens.rows.row import Row, field_name
from role_lens.values import is_missing, plain

Fields = dict[str, Any]
OWN_FIELDS = {"question", "choices", "answer"}
"""The fields of the package's own form."""


def fields_of(row: Row) -> Fields:
    """Fields of a row: those of the package's own form as they are, others by the names that forms
    give them."""
    fields = dict(row.fields)
    if fields.keys() >= OWN_FIELDS:
        return fields
    found: Fields = {}
    for key, value in fields.items():
        name = field_name(key)
        found[name] = value
        inside = value if isinstance(value, Mapping) else {}
        found |= {f"{name}.{field_name(inner)}": one for inner, one in inside.items()}
    return found


def first_of(fields: Mapping[str, Any], names: str) -> Any:
    """The value of the first of the fields `a|b` that is filled, or else of the first there is."""
    values = [plain(fields[name]) for name in names.split("|") if name in fields]
    return next((value for value in values if not is_missing(value)), values[0] if values else None)


def has(fields: Mapping[str, Any], names: str) -> bool:
    """Whether there is one of the fields `a|b`."""
    return any(name in fields for name in names.split("|"))


def filled(fields: Fields, names: str, *, default: Any) -> Any:
    """The value of the first of the fields `a|b` that is filled, or else `default`."""
    value = first_of(fields, names)
    return default if is_missing(value) else value
