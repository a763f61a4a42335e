"""Keeps a conversation in the terminal: what was said, and how the model is steered just now.

talk = Talking(model, PatchOptions(vectors=path, role="nurse", layer=22))
talk.reply("Any plans today?")    # the answer, with its projections
talk.reply("/strength 2")         # from now on twice as strong
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import role_lens as rl
from role_lens.checks import real_number
from role_lens.conversation import Conversation
from role_lens.errors import RoleLensError
from role_lens.reporting.options import PatchOptions

if TYPE_CHECKING:
    from role_lens.models import Model
    from role_lens.patches.patch import Combined

HELP = """\
/role NAME      steer with another role's direction
/strength X     add it X times; 0 for the plain model
/plain          the plain model, until another /role or /strength
/system TEXT    the conversation's system message; alone, the template's own
/back           take back the last message and its answer
/new            begin anew; the next answer overwrites the file of --out
/save FILE      write the conversation as JSON
/how            how the model is steered just now
/quit           leave (as the end of input does)"""


@dataclass
class Talking:
    """A conversation that goes on line by line.

    Raises:
        RoleLensError: a patch that can't be made, or that doesn't fit the model.
    """

    model: "Model"
    patching: PatchOptions
    """How the model is steered; without vectors or a patch, not at all."""
    conversation: Conversation
    max_new_tokens: int = 128
    sampling: "rl.Sampling" = field(default_factory=lambda: rl.Sampling())
    out: Path | None = None
    """Where the conversation is written after every answer; None for nowhere."""
    ended: bool = False
    _plain: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        for patch in self._patches():
            patch.check(self.model)

    def reply(self, line: str) -> str:
        """What to print after a line: an answer, or what a command did.

        Raises:
            RoleLensError: an unknown command, or one that can't be done; all stays as it was.
        """
        text = line.strip()
        if not text:
            return ""
        if not text.startswith("/"):
            return self._answer(text)
        name, _, argument = text[1:].partition(" ")
        commands: dict[str, Callable[[str], str]] = {
            **{"role": self._role, "strength": self._strength, "plain": self._unsteered},
            **{"system": self._system, "back": self._back, "new": self._new},
            **{"save": self._save, "how": self._how, "quit": self._quit, "help": lambda _: HELP},
        }
        if name not in commands:
            raise RoleLensError(f"unknown command /{name}: /help lists them")
        return commands[name](argument.strip())

    def _answer(self, text: str) -> str:
        asked = self.conversation.said(text)
        answer = rl.generate(
            self.model,
            asked,
            patch=self._patches(),
            max_new_tokens=self.max_new_tokens,
            sampling=self.sampling,
        )
        if not str(answer).strip():
            return "(The model said nothing; the message is left out.)"
        self.conversation = asked.answered(str(answer))
        if self.out is not None:
            self.conversation.save(self.out)
        return "\n".join([str(answer), *self._projections()])

    def _projections(self) -> list[str]:
        """How far the last turn lies along the role's direction; nothing without vectors."""
        how = self.patching
        if how.vectors is None or how.role is None or how.layer is None:
            return []
        vectors = rl.RoleVectors.load(how.vectors)
        spec = how.spec
        direction = vectors.direction(
            spec.role, layer=spec.layer, position=spec.position, contrast=spec.contrast
        )
        table = rl.reading.monitor(
            self.model, self.conversation, {spec.role: direction}, layer=spec.layer
        )
        told = []
        for speaker, some in table.groupby("speaker", sort=False):
            row = some.iloc[-1]
            told.append(f"{speaker} {row[spec.role]:.2f} ({row[f'{spec.role} (drift)']:+.2f})")
        return [f"[along {spec.role}: {', '.join(told)} since the first turn]"]

    def _patches(self) -> "Combined":
        how = self.patching
        if self._plain or (how.vectors is None and how.patch is None and how.comparison is None):
            return ()
        return how.saved().patches

    def _steer(self, how: PatchOptions) -> str:
        """Steer in another way from now on, if that can be done."""
        tried = replace(self, patching=how, _plain=False)  # refuses what can't
        self.patching, self._plain = tried.patching, False
        return self._how("")

    def _with_vectors(self, command: str) -> PatchOptions:
        if self.patching.vectors is None:
            raise RoleLensError(f"/{command} needs --vectors with --layer, given at the start")
        return self.patching

    def _role(self, name: str) -> str:
        how = self._with_vectors("role")
        vectors = rl.RoleVectors.load(how.given("vectors"))
        return self._steer(replace(how, role=vectors.roles[vectors.role_index(name)]))

    def _strength(self, number: str) -> str:
        how = self._with_vectors("strength")
        times = real_number(number, "a strength")
        if times == 0:
            return self._unsteered("")
        return self._steer(replace(how, coefficient=times))

    def _unsteered(self, _: str) -> str:
        self._plain = True
        return self._how("")

    def _system(self, text: str) -> str:
        self.conversation = replace(self.conversation, system=text or None)
        return f"System message: {text}" if text else "System message: the template's own"

    def _back(self, _: str) -> str:
        if self.conversation.prompt is not None:  # of a file that ends before its answer
            self.conversation = replace(self.conversation, prompt=None)
        elif self.conversation.turns:
            self.conversation = replace(self.conversation, turns=self.conversation.turns[:-1])
        else:
            raise RoleLensError("there is nothing to take back")
        return f"Taken back; {len(self.conversation.turns)} turns are left."

    def _new(self, _: str) -> str:
        self.conversation = Conversation(system=self.conversation.system)
        return "A new conversation."

    def _save(self, file: str) -> str:
        if not file:
            raise RoleLensError("/save needs a file, such as /save talk.json")
        self.conversation.save(file)
        return f"{len(self.conversation.messages)} messages -> {file}"

    def _how(self, _: str) -> str:
        patches = self._patches()
        role = self.patching.role
        about = f"{role}: " if role is not None and patches else ""
        return f"Steered by {about}{', '.join(map(repr, patches))}" if patches else "Plain."

    def _quit(self, _: str) -> str:
        self.ended = True
        return ""
