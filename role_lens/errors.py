"""The package's exceptions: input that can't be used raises a `RoleLensError`.

    raise RoleLensError("layer 40 is out of range: the model has layers 0 to 29")

Messages are one line: what was given, what was expected, and what to do if that isn't plain.
"""


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


def first_line(error: Exception) -> str:
    """The first line of another library's error message, or the error's type where it says
    nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
