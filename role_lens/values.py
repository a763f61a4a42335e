"""Turns values out of numpy, pandas or torch into Python's own.

    plain(numpy.int64(3))            # 3
    is_missing(float("nan"))         # True
    as_list(pandas.Series(["a"]))    # ["a"]

None of these libraries is loaded for it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from role_lens.errors import RoleLensError


def plain(value: Any) -> Any:
    """A number, text or array without axes as Python's own; any other value as it is.

    Examples:
        >>> import numpy as np
        >>> plain(np.array(3))
        3
    """
    is_scalar = hasattr(value, "item") and getattr(value, "ndim", None) == 0
    return value.item() if is_scalar else value


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: None, NaN, NaT, pandas' NA, or a blank text.

    Examples:
        >>> is_missing(float("nan")), is_missing(" "), is_missing(0)
        (True, True, False)
    """
    value = plain(value)
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # pandas isn't loaded


def as_list(values: Any) -> list[Any] | None:
    """The values of a list, tuple, Series, array or generator, in their order.

    Returns:
        None for what isn't such a list: a lone text or number, a mapping, a set, a table.

    Examples:
        >>> as_list(("a", "b")), as_list("ab")
        (['a', 'b'], None)
    """
    values = plain(values)
    other = isinstance(values, (str, bytes, Mapping, set, frozenset))
    if other or not isinstance(values, Iterable) or hasattr(values, "columns"):
        return None  # a table would give the names of its columns
    return [plain(value) for value in values]


def shown(value: object) -> str:
    """A value for an error message: on one line, and cut where it is long.

    Examples:
        >>> shown("ash"), len(shown(list(range(1000))))
        ("'ash'", 60)
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


@contextmanager
def errors_of(what: str) -> Iterator[None]:
    """Begin the messages of errors that are raised in the body with what they are about.

    Examples:
        >>> with errors_of("line 3"):
        ...     raise RoleLensError("the text is empty")
        Traceback (most recent call last):
        role_lens.errors.RoleLensError: line 3: the text is empty
    """
    try:
        yield
    except RoleLensError as error:
        raise RoleLensError(f"{what}: {error}") from error
