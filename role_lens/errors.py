"""The package's exceptions and warnings: input that can't be used raises a `RoleLensError`.

    raise RoleLensError("layer 40 is out of range: the model has layers 0 to 29")
    warn("the model is scored by whole forward passes, which is slower")

Messages are one line: what was given, what was expected, and what to do if that isn't plain.
"""

import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)
_BETWEEN = ("jaxtyping", "contextlib", "torch")  # wrappers of the package's own functions


class RoleLensError(ValueError):
    """Raised for an input that can't be used; a `ValueError`.

    The message says in one line what was got, what was expected and what to do.

    Examples:
        >>> try:
        ...     vectors.direction("poet", layer=40)
        ... except RoleLensError as error:
        ...     print(error)
        layer 40 is out of range: the vectors have layers 0 to 2
    """


class OutOfMemoryError(RoleLensError):
    """Raised when even the smallest batch doesn't fit into the GPU's memory."""


class TooLongError(RoleLensError):
    """Raised when a prompt takes more tokens than the model's context."""


class UnreadableError(RoleLensError):
    """Raised when a role judge's answer names no role, or several."""


def first_line(error: Exception) -> str:
    """The first line of another library's error message, or the error's type where it says
    nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def warn(message: str) -> None:
    """Warn with the place of the line that called the package, however deep inside it this is."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith(_PACKAGE)
        or str(frame.f_globals.get("__name__")).split(".")[0] in _BETWEEN
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
