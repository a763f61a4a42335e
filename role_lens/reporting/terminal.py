"""Prints for the reader of a command, and turns errors into one line and an exit code.

    sys.exit(reported(lambda: say("Hello.")))

The rest of the package never prints.
"""

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from role_lens.errors import RoleLensError

REFUSED, INTERRUPTED, CLOSED = 2, 130, 141
"""Exit codes: after a `RoleLensError`; after Ctrl-C; and after whoever read the output has gone, as
`head` does. A shell gives the last two of programs that end by the signals of such events."""


def reported(command: Callable[[], Any]) -> int:
    """Run a command, and print an error that its user can mend as one line.

    Warnings are printed as one line each from then on.

    Args:
        command: called without arguments.

    Returns:
        The exit code: 0 if it worked, 2 after a `RoleLensError` or an error of the disk, 130 if
        interrupted, 141 if whoever read the output has gone. Other errors are raised.

    Examples:
        >>> from role_lens.reporting import reported, say
        >>> reported(lambda: say("Hello."))
        Hello.
        0
    """
    warnings.formatwarning = _one_line
    _open_streams()
    code = 0
    try:
        code = _code(command)
    except _Unprinted as unprinted:
        code = unprinted.code
    finally:  # or Python would write what is left after the end, and complain there
        for stream in (sys.stdout, sys.stderr):
            try:
                with _writing(stream):
                    stream.flush()
            except _Unprinted as unprinted:
                code = code or unprinted.code
    return code


def say(text: str) -> None:
    """Print a line for the reader, and show it at once.

    Args:
        text: one line or several.

    Examples:
        >>> from role_lens.reporting import say
        >>> say("12 of 29 roles are done.")
        12 of 29 roles are done.
    """
    with _writing(sys.stdout):
        print(text, flush=True)


class _Unprinted(Exception):
    """Raised where a stream can't be written to; ends the command with this exit code."""

    def __init__(self, code: int) -> None:
        self.code = code


def _code(command: Callable[[], Any]) -> int:
    try:
        command()
    except RoleLensError as error:
        _tell(str(error))
        return REFUSED
    except KeyboardInterrupt:
        _tell("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return CLOSED
    except OSError as error:  # of a library that writes by itself, such as to a full disk
        _tell(" ".join(str(error).split()))
        return REFUSED
    return 0


def _tell(message: str) -> None:
    with suppress(OSError):  # if nobody can read it, the exit code has to do
        print(f"role-lens: {message}", file=sys.stderr, flush=True)


def _open_streams() -> None:
    """Let both streams take whatever is written, also if the shell has closed them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # No `with`: from now on it is the stream of this process, which closes it at its end.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        if isinstance(stream, io.TextIOWrapper):  # models write what not every terminal can show
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _writing(stream: Any) -> Iterator[None]:
    """Drop what can't be written to a stream, now and later.

    Raises:
        _Unprinted: something was dropped.
    """
    try:
        yield
    except OSError as error:
        with suppress(OSError, ValueError):  # streams of tests have no number
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if isinstance(error, BrokenPipeError):
            raise _Unprinted(CLOSED) from error
        _tell(f"can't print the output: {error.strerror or error}")
        raise _Unprinted(REFUSED) from error


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning as its reader needs it: one line, without the place in the source."""
    return f"role-lens: warning: {' '.join(str(message).split())}\n"
