"""Prints for the reader of a command, and turns errors into one line and an exit code.

sys.exit(reported(lambda: say("Hello.")))
"""

import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

from role_lens.errors import RoleLensError


def reported(command: Callable[[], Any]) -> int:
    """Run a command; 0 if it worked, 2 for input that can't be used, 130 if interrupted."""
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
    """Print for the reader, at once."""
    print(text, flush=True)


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning as its reader needs it, without the place in the source."""
    return f"role-lens: warning: {message}\n"
