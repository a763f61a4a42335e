"""Takes the prompt out of what a writer wrote, and says why one is left out.

    cleaned("Sure! Here it is:\\n1. **What is a hive?**")     # "What is a hive?"
    Sieve("beekeeper", places).reason("What is a hive?")     # None: it is kept

`LeftOut` names the reasons.
"""

import re
from difflib import SequenceMatcher
from enum import Enum

from role_lens.judges.likelihood import names_role
from role_lens.writing.forms import Places

_AROUND = (
    ('"', '"'),
    ("“", "”"),
    ("‘", "’"),
    ("«", "»"),
    ("'", "'"),
    ("`", "`"),
    ("*", "*"),
    ("_", "_"),
)
_BOLD = re.compile(r"(?<!\w)\*\*(\S|\S.*?\S)\*\*(?!\w)")
_BULLET = re.compile(r"^(?:[-•*+]|\(?\d+[.):]|[a-zA-Z][.)])\s+")
_LABEL = re.compile(r"^(?:prompt|message|instruction|question|user|answer)\s*\d*\s*:\s*", re.I)
_REFUSAL = re.compile(
    r"^(?:i['’]?m sorry|sorry\b|i (?:can['’]?t|cannot|am unable|am not able|apologi[sz]e)"
    r"|as an ai\b|i['’]m (?:just )?an ai\b|unfortunately)",
    re.I,
)
_ALIKE = 0.85  # of SequenceMatcher: a word or two may differ


class LeftOut(Enum):
    """Why a prompt is left out. A place is open for a beginning and a length.

    Examples:
        >>> from role_lens.writing import LeftOut
        >>> LeftOut.FORM.value
        'fits no open place'
    """

    NO_ANSWER = "no answer"
    EMPTY = "empty"
    REFUSAL = "a refusal"
    NAMES_ROLE = "names its role"
    REPEATED = "repeats another"
    FORM = "fits no open place"
    OTHER_ROLE = "about another role"


def cleaned(text: str) -> str:
    """The prompt in a writer's answer: its first line, without quotes, numbers and markup.

    A line that introduces what follows, such as `Here it is:`, is passed over if more follows.
    """
    lines = [bare_line(line) for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("```")]
    while len(lines) > 1 and lines[0].endswith((":", "!")):
        lines.pop(0)
    return lines[0] if lines else ""


def bare_line(line: str) -> str:
    """A line without the bullet, label, quotes and markup around it."""
    before, line = None, _BOLD.sub(r"\1", line.strip().lstrip("#>").strip())
    while line != before:
        before = line
        line = _LABEL.sub("", _BULLET.sub("", line.strip()))
        for first, last in _AROUND:
            inner = line[len(first) : -len(last)]
            if line.startswith(first) and line.endswith(last) and first not in inner:
                line = inner
    return " ".join(line.split())


class Sieve:
    """Decides on one prompt after another, by those that it kept before.

    Examples:
        >>> sieve = Sieve("poet", Places(["Why do I sing?", "Why is it wet?"], n=2))
        >>> sieve.reason("Why is a rhyme heard at all?").value
        'fits no open place'
        >>> sieve.reason("Why is it odd?"), sieve.reason("Why is it  odd?").value
        (None, 'repeats another')
    """

    def __init__(self, role: str | None, places: Places) -> None:
        self.role = role
        self.places = places
        self.kept: list[str] = []

    def reason(self, prompt: str | None, *, in_role: bool | None = True) -> LeftOut | None:
        """Why a prompt is left out; None if it is kept.

        Args:
            prompt: None where the writer gave no answer.
            in_role: what the role judge says of it; None where it gave no answer.
        """
        if prompt is None:
            return LeftOut.NO_ANSWER
        if not prompt:
            return LeftOut.EMPTY
        if is_refusal(prompt):
            return LeftOut.REFUSAL
        if self.role is not None and names_role(prompt, self.role):
            return LeftOut.NAMES_ROLE
        if any(_alike(prompt, other) for other in self.kept):
            return LeftOut.REPEATED
        if in_role is None:
            return LeftOut.NO_ANSWER
        if not in_role:
            return LeftOut.OTHER_ROLE
        if not self.places.take(prompt):
            return LeftOut.FORM
        self.kept.append(prompt)
        return None


def is_refusal(text: str) -> bool:
    """Whether a text begins as a refusal does."""
    return _REFUSAL.match(text) is not None


def _alike(one: str, other: str) -> bool:
    first, second = (re.findall(r"\w+", text.casefold()) for text in (one, other))
    return SequenceMatcher(None, first, second, autojunk=False).ratio() >= _ALIKE
