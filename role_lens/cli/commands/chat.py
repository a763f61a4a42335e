"""`role-lens chat` talks with a model in the terminal, plain or steered.

    role-lens chat --vectors roles.safetensors --role nurse --layer 22 --coefficient 2 \
        --out talk.json

Lines that begin with / change the role, the strength or the system message on the way; /help lists
them. After each answer the mean projection of the turn on the role's direction is
printed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.cli.talking import Talking
from role_lens.conversation import Conversation
from role_lens.errors import RoleLensError
from role_lens.reporting.options import Common, PatchOptions
from role_lens.reporting.terminal import say


def run(
    patching: Annotated[PatchOptions, tyro.conf.arg(name="")],
    options: Common,
    out: Path | None = None,
    lines: Path | None = None,
    system: str | None = None,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
) -> None:
    """Talk with a model in the terminal, plain or steered.

    Args:
        out: A JSON file in which the conversation is kept after every answer; one that is there
            already goes on.
        lines: A text file of what is to be said, line by line, in the place of the terminal.
        system: System message. Without one, the chat template's own.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 for greedy decoding; above, tokens are sampled.
        seed: Seed of the sampling.
    """
    sampling = rl.Sampling(temperature, seed)
    script = None if lines is None else _lines(lines)
    earlier = Conversation(system=system)
    if out is not None and out.exists():
        earlier = Conversation.load(out)
        if system is not None and system != earlier.system:
            raise RoleLensError(
                f"{out} goes on with the system message {earlier.system!r}: leave out --system, or "
                "change it with /system"
            )
    talk = Talking(options.load(), patching, earlier, max_new_tokens, sampling, out)
    say(f"{talk.reply('/how')} /help lists what can be changed.")
    for line in _typed() if script is None else script:
        try:
            if reply := talk.reply(line):
                say(reply)
        except RoleLensError as error:
            say(f"{error}")
        if talk.ended:
            break


def _typed() -> Iterator[str]:
    """What is typed, line by line, until the input ends."""
    while True:
        try:
            yield input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RoleLensError(f"can't read {file}: {getattr(error, 'strerror', error)}") from error
