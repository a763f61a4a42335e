"""Reads a letter that stands alone in a line, or at the head of a text that is one option.

    read_lines("B. Paris", "AB", ["Rome", "Paris"])    # 1

Several such letters, or a list of the options, say nothing.
"""

import re
from collections.abc import Sequence

from role_lens.scoring.answers import languages
from role_lens.scoring.answers.option_words import after_words, denied, words
from role_lens.scoring.answers.second_letter import names_another
from role_lens.scoring.answers.statements import CUT, LONGEST_LINE, TAKEN_BACK

# "B?" asks, and "~B" and "≠ B" deny.
_AROUND = r"(?:[^\w?~≠¬×(]|_)"
_LABEL = (
    r"(?i:option|choice|answer|ans|letter|solution|conclusion|correct|verdict"
    rf"|{languages.ANSWER})"
)
# "A+" and "C#" are something else.
_LONE = re.compile(
    rf"{_AROUND}*(?:{_LABEL}{_AROUND}+)?(?P<bracket>\()?[*_]*(?P<letter>[A-Za-z])"
    r"(?:\s[-–]|[^\w?+#/=~×–-]|_)*"
)
_HEAD = re.compile(
    r"[-*_]*\s*(?:(?i:option|choice|answer)\s+)?"
    r"(?:(?P<open>\()?(?P<closed>[A-Z])[*_]*(?P<mark>[).:]|\s[-–—](?=\s))[*_]*"
    r"|[*_]+(?P<bold>[A-Z])[*_]+"
    r"|\(?(?P<small>[a-z])[).](?=\s|$))\s*(?P<rest>.*)"
)
_BRACKETED = re.compile(r"\(([A-Z])\)")
_SECOND_HEAD = re.compile(r"(?:\b(?:or|and)|[;/&])\s*[*_(]*[A-Z][*_]*[):]\s")
_GOES_ON = re.compile(r"(?:is|are|was|isn't|and|or|can|may|would|does|has)\b")


def read_lines(answer: str, letters: str, choices: Sequence[str]) -> int | None:
    """A letter alone in the last or the first line, or at the head of a text that is one option."""
    lines = [line.strip() for line in answer.strip().splitlines() if line.strip()]
    if not lines:
        return None
    heads = [_HEAD.fullmatch(line) for line in lines]
    named = [(m["closed"] or m["bold"] or m["small"].upper()) if m else None for m in heads]
    lone = [_lone(line, small=len(lines) == 1) for line in lines]
    if len({*lone} - {None}) > 1 or TAKEN_BACK.search(answer):
        return None
    if lone[-1] is not None:
        # "C. Paris" and then "D" is a list of the options that breaks off.
        listed = len(lines) > 1 and named[-2] is not None and ord(named[-2]) == ord(lone[-1]) - 1
        return letters.index(lone[-1]) if lone[-1] in letters and not listed else None
    if {*named, *_BRACKETED.findall(answer)} - {None, lone[0] or named[0]}:
        return None
    if lone[0] is not None:
        return letters.index(lone[0]) if lone[0] in letters else None
    head, letter = heads[0], named[0]
    if head is None or letter is None or letter not in letters:
        return None
    index, rest = letters.index(letter), head["rest"]
    said, choice = words(rest), words(choices[index])
    if choice and said.startswith(choice):
        after = after_words("\n".join([rest, *lines[1:]]), choice)
        after = rest if after is None else after  # "Increases" for "increase"
        another = names_another(letter, after, letters, small=bool(head["small"]))
        return None if denied(after) or another else index
    if said and choice.startswith(said):
        return index
    if head["small"] or _GOES_ON.match(rest):
        return None
    # "C. elegans" may be a name, and "A:" begin an answer: then the words have to be the option's.
    closed = head["open"] or head["bold"] or head["mark"] == ")"
    return index if (closed and not _SECOND_HEAD.search(rest)) or not said else None


def _lone(line: str, *, small: bool) -> str | None:
    """The letter that a line is; a small one in brackets, or where it is all of the text."""
    found = _LONE.fullmatch(line) if len(line) < LONGEST_LINE else None
    if found is None or CUT in line:
        return None
    letter = found["letter"]
    return letter.upper() if letter.isupper() or small or found["bracket"] else None
