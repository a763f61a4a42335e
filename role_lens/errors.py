"""The package's own exceptions: input that can't be used is a `RoleLensError`.

raise RoleLensError("layer 40 is out of range: the model has layers 0 to 29")
"""


class RoleLensError(ValueError):
    """An input that can't be used. The message says what came, what was expected and what to do."""


class OutOfMemoryError(RoleLensError):
    """Even the smallest batch doesn't fit into the GPU's memory."""


def first_line(error: Exception) -> str:
    """What an error of another library says first, or its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
