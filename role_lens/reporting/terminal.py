"""What a command tells its reader, and how it ends. Knows no command."""

import io
import sys
from collections.abc import Callable
from typing import Any

from role_lens.errors import RoleLensError


def reported(command: Callable[[], Any]) -> int:
    """Run a command; 0 if it worked, 2 for input that can't be used, 130 if interrupted."""
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
