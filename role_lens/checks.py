"""Takes numbers and strings as other libraries hold them, or says in one line what is wrong.

    whole_number(np.int64(3), "layer")      # 3
    real_number("2.5", "coefficient")       # 2.5

What is plainly meant is taken: numpy's numbers, arrays and tensors of a single number, strings of
digits.
"""

import math
import operator
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.values import shown


def whole_number(value: Any, what: str, *, least: int | None = None) -> int:
    """A whole number, of Python's own type.

    Args:
        what: what the number is called in messages.
        least: the smallest that is allowed; None for any.

    Raises:
        RoleLensError: it is no whole number, or too small.
    """
    single = _single(value)
    try:
        if isinstance(single, str) or (isinstance(single, float) and single.is_integer()):
            number = int(single)
        else:
            number = operator.index(single)
    except (TypeError, ValueError) as error:
        raise RoleLensError(f"{what} must be a whole number, got {shown(value)}") from error
    if isinstance(single, bool):
        raise RoleLensError(f"{what} must be a whole number, got {shown(value)}")
    if least is not None and number < least:
        raise RoleLensError(f"{what} must be at least {least}, got {number}")
    return number


def real_number(value: Any, what: str, *, finite: bool = True) -> float:
    """A number, as a float.

    Args:
        what: what the number is called in messages.
        finite: refuse infinite numbers.

    Raises:
        RoleLensError: it is no number, NaN, or infinite.
    """
    single = _single(value)
    try:
        number = float(single)
    except (TypeError, ValueError, OverflowError) as error:
        raise RoleLensError(f"{what} must be a number, got {shown(value)}") from error
    if isinstance(single, bool) or math.isnan(number):
        raise RoleLensError(f"{what} must be a number, got {shown(value)}")
    if finite and math.isinf(number):
        raise RoleLensError(f"{what} must be finite, got {shown(value)}")
    return number


def set_temperature(record: Any) -> None:
    """Check the field `temperature` of a frozen record, and make a float of it.

    Raises:
        RoleLensError: it is neither 0 nor finite and at least 0.001.
    """
    temperature = real_number(record.temperature, "temperature")
    if not (temperature == 0 or temperature >= 1e-3):
        raise RoleLensError(f"temperature must be 0 or at least 0.001, got {temperature}")
    object.__setattr__(record, "temperature", temperature)


def check_is(value: object, kind: type, what: str) -> None:
    """Raise a RoleLensError unless a value is of a class, such as a record of options."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise RoleLensError(f"{what} must be {article} {kind.__name__}, got {shown(value)}")


def string(value: Any, what: str) -> str:
    """A string, of Python's own type.

    Raises:
        RoleLensError: it is none.
    """
    if not isinstance(value, str):
        raise RoleLensError(f"{what} must be a string, got {shown(value)}")
    return str(value)


def _single(value: Any) -> Any:
    """What an array or a tensor of one number holds; all else as it is."""
    if getattr(value, "shape", None) is not None and hasattr(value, "item"):
        try:
            return value.item()
        except (ValueError, RuntimeError, TypeError):  # several numbers
            return value
    return value
