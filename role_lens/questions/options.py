"""Reads the options of a question out of a field, or out of a column for each.

    options_in({"text": ["ash", "ant"], "label": ["A", "B"]}).labels    # ("A", "B")
    in_order(["option_b", "option_a"])    # ("option_a", "option_b")

Options are a list, a mapping, or a column each.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.questions.literals import literal
from role_lens.rows.fields import first_of
from role_lens.values import as_list, is_missing

_COLUMN = re.compile(r".*?_?([a-z]|\d+)")
_WHOLE = re.compile(r"[+-]?\d{1,9}(?:\.0*)?")
_FIRST = (0, 1, ord("a"))  # what columns of options begin with


@dataclass(frozen=True)
class Options:
    """The options of a question, and what a key may call them."""

    texts: Sequence[Any]
    """Texts or numbers."""
    labels: Sequence[str] = ()
    """The row's own labels; a key is then one of them, or the text of an option."""
    columns: Sequence[str] = ()
    """The names of the columns that hold the options, in tables with a column for each."""


def options_in(value: Any, *, is_marked: bool) -> Options | None:
    """The options in a field, with their labels where it has them; None if it holds no options.

    Args:
        is_marked: whether the field says of every option if it is right, 1, or not, 0.
    """
    value = literal(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        for texts, labels in (("text", "label"), ("choices", "labels")):
            if texts in value and labels in value:
                return _labelled(as_list(value[texts]), as_list(value[labels]))
        filled = {name: one for name, one in value.items() if not is_missing(one)}
        pair = [*filled], [*filled.values()]
        return _labelled(*pair) if is_marked else _labelled(*reversed(pair))
    items = as_list(value)
    if items and all(isinstance(one, Mapping) for one in items):
        found = [(first_of(one, "text|value"), first_of(one, "label|key")) for one in items]
        return _labelled(*map(list, zip(*found, strict=True)))
    return Options(items) if items else None


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Columns by the letters or numbers at the ends of their names, if nothing else differs."""
    labels = {name: column_label(name) for name in names}
    rest = {name.removesuffix(label) for name, label in labels.items()}
    if len(rest) != 1 or len(set(labels.values())) < len(names):
        return tuple(names)
    places = {
        name: int(label) if label.isdecimal() else ord(label) for name, label in labels.items()
    }
    ordered = sorted(names, key=places.__getitem__)
    if places[ordered[-1]] - places[ordered[0]] >= len(names) or places[ordered[0]] not in _FIRST:
        raise RoleLensError(
            f"there are options in {', '.join(ordered)}, but not in those before or between them"
        )
    return tuple(ordered)


def column_label(name: str) -> str:
    """The letter or number at the end of a column's name.

    Examples:
        >>> column_label("option_b"), column_label("choice10")
        ('b', '10')
    """
    found = _COLUMN.fullmatch(name)
    return found[1] if found else name


def spelled(value: Any) -> str:
    """A text without spaces around it; a number that is whole as an integer.

    Examples:
        >>> spelled(" ash "), spelled(2.0), spelled(0.5)
        ('ash', '2', '0.5')
    """
    text = str(value).strip()
    return str(whole(text)) if isinstance(value, Number) and is_whole(text) else text


def is_whole(text: str) -> bool:
    """Whether a text is a whole number, such as "2" or "2.0"."""
    return _WHOLE.fullmatch(text) is not None


def whole(text: str) -> int:
    """The whole number that a text is."""
    return int(text.partition(".")[0])


def _labelled(texts: list[Any] | None, labels: list[Any] | None) -> Options | None:
    if not texts or labels is None or len(texts) != len(labels):
        return None
    return Options(texts, tuple(map(spelled, labels)))
