"""Holds a conversation: a system message, turns of user and assistant, and what was said last.

    talk = Conversation(system="You are a nurse.").said("Any plans today?")
    talk = talk.answered(generate(model, talk))
    talk.save("talk.json")

`generate` takes one in the place of a prompt, and answers its last message.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from role_lens.checks import string
from role_lens.errors import RoleLensError
from role_lens.files import as_path, write_json
from role_lens.prompts import prompt_list
from role_lens.values import as_list, shown


@dataclass(frozen=True)
class Conversation:
    """Messages of a user and of an assistant in turn, the user's first.

    Raises:
        RoleLensError: a message that is no text, or is empty.

    Examples:
        >>> talk = Conversation().said("Tea?").answered("Please.").said("With milk?")
        >>> [message["role"] for message in talk.messages]
        ['user', 'assistant', 'user']
        >>> len(generate(model, [talk], max_new_tokens=4))
        1
    """

    turns: tuple[tuple[str, str], ...] = ()
    """Turns that were answered: what the user said, and the answer."""
    prompt: str | None = None
    """What the user said last, and which isn't answered yet; None where all is."""
    system: str | None = None
    """System message; None for the chat template's own default, or that of whoever asks."""

    def __post_init__(self) -> None:
        turns = tuple(self.turns)
        if isinstance(self.turns, str) or not all(
            isinstance(turn, tuple | list) and len(turn) == 2 for turn in turns
        ):
            raise RoleLensError(
                f"turns must be pairs of a prompt and its answer, got {shown(self.turns)}"
            )
        object.__setattr__(self, "turns", tuple((asked, said) for asked, said in turns))
        alone = [one for one in (self.prompt, self.system) if one is not None]
        for text in [one for turn in self.turns for one in turn] + alone:
            if not string(text, "a message").strip():
                raise RoleLensError(f"a message of a conversation is empty: {text!r}")

    def said(self, prompt: str) -> "Conversation":
        """The same with one more message of the user.

        Raises:
            RoleLensError: the last one isn't answered yet.
        """
        if self.prompt is not None:
            raise RoleLensError(f"{shown(self.prompt)} isn't answered yet: answer it first")
        return replace(self, prompt=string(prompt, "a prompt"))

    def answered(self, answer: str) -> "Conversation":
        """The same with an answer to the user's last message.

        Raises:
            RoleLensError: there is nothing to answer.
        """
        if self.prompt is None:
            raise RoleLensError("there is no message to answer: let the user say something first")
        return replace(self, turns=(*self.turns, (self.prompt, answer)), prompt=None)

    @property
    def messages(self) -> list[dict[str, str]]:
        """All messages, as chat templates and most programs take them: `role` and `content`."""
        found = [] if self.system is None else [{"role": "system", "content": self.system}]
        for asked, answer in self.turns:
            found.append({"role": "user", "content": asked})
            found.append({"role": "assistant", "content": answer})
        if self.prompt is not None:
            found.append({"role": "user", "content": self.prompt})
        return found

    @staticmethod
    def of_messages(messages: Sequence[Any]) -> "Conversation":
        """Make a conversation of messages with `role` and `content`.

        Raises:
            RoleLensError: messages in another order than system (if there is one), user, assistant,
                user and so on, or of another form.

        Examples:
            >>> Conversation.of_messages([{"role": "user", "content": "Tea?"}]).prompt
            'Tea?'
        """
        several = as_list(messages)
        if not several or not all(isinstance(one, dict) for one in several):
            raise RoleLensError(
                "expected messages such as {'role': 'user', 'content': 'Tea?'}, got "
                f"{shown(messages)}"
            )
        found, rest = Conversation(), list(several)
        if rest[0].get("role") == "system":
            found = Conversation(system=string(rest.pop(0).get("content"), "a system message"))
        for number, message in enumerate(rest):
            speaker = "user" if found.prompt is None else "assistant"
            if message.get("role") != speaker:
                raise RoleLensError(
                    f"message {number + len(several) - len(rest)}: expected one of the {speaker}, "
                    f"got one of role {shown(message.get('role'))}; user and assistant take turns"
                )
            content = string(message.get("content"), "a message's content")
            found = found.said(content) if speaker == "user" else found.answered(content)
        return found

    @staticmethod
    def load(path: str | Path) -> "Conversation":
        """Read a conversation from a JSON file: a list of messages, or an object with `messages`.

        Raises:
            RoleLensError: the file can't be read, or holds no conversation.
        """
        file = as_path(path)
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise RoleLensError(f"can't read {file}: {error.strerror}") from error
        except ValueError as error:
            raise RoleLensError(f"{file} is not JSON: {error}") from error
        try:
            return Conversation.of_messages(
                found["messages"] if isinstance(found, dict) and "messages" in found else found
            )
        except RoleLensError as error:
            raise RoleLensError(f"{file}: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write all messages as a JSON file, whole or not at all.

        Examples:
            >>> Conversation().said("Tea?").answered("Please.").save(folder / "talk.json")
            >>> Conversation.load(folder / "talk.json").turns
            (('Tea?', 'Please.'),)
        """
        write_json(as_path(path), self.messages)


Prompt: TypeAlias = str | Conversation
"""What a model is asked: one user turn, or the last message of a conversation."""


def asked_list(prompts: object) -> list[Prompt]:
    """Prompts and conversations as a list.

    Raises:
        RoleLensError: as `prompt_list`, and a conversation in which nothing is left to answer.
    """
    several = as_list(prompts)
    if several is None or not any(isinstance(one, Conversation) for one in several):
        return list(prompt_list(prompts if several is None else several))
    for number, one in enumerate(several):
        if isinstance(one, Conversation):
            if one.prompt is None:
                raise RoleLensError(f"conversation {number} has no message to answer")
        elif not isinstance(one, str):
            raise RoleLensError(f"prompt {number} is neither text nor a Conversation: {shown(one)}")
    return list(several)


def last_said(prompt: Prompt) -> str:
    """What is to be answered."""
    return prompt if isinstance(prompt, str) else prompt.prompt or ""
