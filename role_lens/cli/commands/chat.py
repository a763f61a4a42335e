"""`role-lens chat` talks with a model in the terminal, plain or steered.

    role-lens chat --vectors roles.safetensors --role nurse --layer 22 --coefficient 2 \
        --out talk.json

Lines that begin with / change the role, the strength or the system message on the way; /help lists
them. After each answer stands how far the turn lies along the role's direction.
"""

import sys
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
    system: str | None = None,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
) -> None:
    """Talk with a model in the terminal, plain or steered.

    Args:
        out: A JSON file in which the conversation is kept after every answer; one that is there
            already goes on.
        system: System message. Without one, the chat template's own.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 for greedy decoding; above, tokens are sampled.
        seed: Seed of the sampling.
    """
    sampling = rl.Sampling(temperature, seed)
    earlier = Conversation(system=system)
    if out is not None and out.exists():
        earlier = Conversation.load(out)
        if system is not None and system != earlier.system:
            raise RoleLensError(f"{out} has another system message: leave out --system")
    talk = Talking(options.load(), patching, earlier, max_new_tokens, sampling, out)
    say(f"{talk.reply('/how')} /help lists what can be changed.")
    while not talk.ended:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            break
        try:
            if reply := talk.reply(line):
                say(reply)
        except RoleLensError as error:
            say(f"{error}")
