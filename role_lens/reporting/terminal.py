"""Prints for the reader of a command, and turns errors into one line and an exit code.

    sys.exit(reported(lambda: say("Hello.")))

The rest of the package never prints.
"""

import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

from role_lens.errors import RoleLensError


def reported(command: Callable[[], Any]) -> int:
    """Run a command, and print an error that its user can mend as one line.

    Warnings are printed as one line each from then on.

    Args:
        command: called without arguments.

    Returns:
        The exit code: 0 if it worked, 2 after a `RoleLensError`, 130 if interrupted. Other errors
        are raised.

    Examples:
        >>> from role_lens.reporting import reported, say
        >>> reported(lambda: say("Hello."))
        Hello.
        0
    """
    warnings.formatwarning = _one_line
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # models write what not every terminal can show
            stream.reconfigure(errors="backslashreplace")
    try:
        command()
    except RoleLensError as error:
        print(f"role-lens: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("role-lens: interrupted", file=sys.stderr)
        return 130
    return 0


def say(text: str) -> None:
    """Print a line for the reader, and show it at once.

    Args:
        text: one line or several.

    Examples:
        >>> from role_lens.reporting import say
        >>> say("12 of 29 roles are done.")
        12 of 29 roles are done.
    """
    print(text, flush=True)


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning as its reader needs it: one line, without the place in the source."""
    return f"role-lens: warning: {message}\n"
