"""The command line `role-lens`, with a file for each command in `role_lens.cli.commands`.

    role-lens fit --out roles.safetensors
    role-lens --version

A command's options are the arguments of its `run`, and help shows their docstrings.
"""

import sys
from collections.abc import Callable
from typing import Any

import role_lens
from role_lens._registry import Registry
from role_lens.reporting.terminal import reported, say

COMMANDS: Registry[Callable[..., Any]] = Registry("role_lens.cli.commands", "run", "command")


def main(arguments: list[str] | None = None) -> int:
    """Run a command, and give its exit code, see `role_lens.reporting.reported`.

    Examples:
        >>> main(["--version"])
        role-lens 0.1.0
        0
    """
    return reported(lambda: _run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        say(f"role-lens {role_lens.__version__}")
        return
    import tyro

    named = {name.replace("_", "-"): name for name in COMMANDS.names}
    # Of a command that is named only its own options are read: that is quicker.
    wanted = [arguments[0]] if arguments and arguments[0] in named else list(named)
    tyro.extras.subcommand_cli_from_dict(
        {name: COMMANDS[named[name]] for name in wanted},
        prog="role-lens",
        description="Role vectors: find them, steer with them, judge them.",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes,),
    )
