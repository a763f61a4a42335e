"""Says in one line why another library can't load a model.

    raise RoleLensError(f"can't load a model from {folder}: {reason(error)}") from error

Whatever that library said, one line is left.
"""

from collections.abc import Iterator

_LONGEST = 300
_SPEAK_FOR_THEMSELVES = (OSError, ValueError, RuntimeError, ImportError)


def reason(error: BaseException) -> str:
    """What an error says, in one line: all of its lines, since the first often breaks off before
    what matters, up to 300 characters."""
    said = " ".join(str(error).split())
    if not said or not isinstance(error, _SPEAK_FOR_THEMSELVES):
        said = f"{type(error).__name__}: {said}".rstrip(": ")
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it comes from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
