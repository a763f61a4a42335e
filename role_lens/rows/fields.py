"""Finds fields of a row under one of several names.

    first_of({"gold": 2}, "answer|gold")    # 2

`a|b` is the first of the fields `a` and `b` that is filled, or else the first that is there.
"""

from collections.abc import Mapping
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.rows.row import Fields
from role_lens.values import is_missing, plain, shown


def has(fields: Fields, names: str) -> bool:
    """Whether there is one of the fields `a|b`, filled or not."""
    return any(name in fields for name in names.split("|"))


def name_of(fields: Mapping[str, Any], names: str) -> str:
    """What the field `a|b` is called in a row; `a` if it isn't there.

    Examples:
        >>> name_of({"answer": None, "gold": 2}, "answer|gold")
        'gold'
    """
    several = names.split("|")
    there = [name for name in several if name in fields]
    return next((name for name in there if not is_missing(fields[name])), (there or several)[0])


def first_of(fields: Mapping[str, Any], names: str) -> Any:
    """The value of the field `a|b`; None if it isn't there."""
    return plain(fields.get(name_of(fields, names)))


def is_filled(fields: Fields, names: str) -> bool:
    """Whether the field `a|b` is filled; one without a name never is."""
    return bool(names) and not is_missing(first_of(fields, names))


def filled(fields: Fields, names: str, *, default: Any) -> Any:
    """The value of the field `a|b`, or `default` if it isn't filled."""
    value = first_of(fields, names)
    return default if is_missing(value) else value


def text_of(fields: Fields, names: str) -> str:
    """The text in the field `a|b`.

    Raises:
        RoleLensError: there is none, or it is blank.
    """
    value = first_of(fields, names)
    if not isinstance(value, str) or is_missing(value):
        name = name_of(fields, names)
        raise RoleLensError(
            f"expected a non-empty string in the field {name!r}, got {shown(value)}"
        )
    return value


def joined_text(fields: Fields, *names: str) -> str:
    """The texts in several fields `a|b`, one below the other.

    Raises:
        RoleLensError: the last is blank, or one holds something else than text.
    """
    before = [one for one in names[:-1] if is_filled(fields, one)]
    return "\n".join(text_of(fields, one) for one in (*before, names[-1]))
