"""Read the answer that a generated text states: a letter or a number, or nothing at all.

A text that states no answer, or two, is unreadable; it is never guessed. Knows text only.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

from role_lens.evaluation.questions import LETTERS

Read = TypeVar("Read")

# Marks around an answer: Markdown, quotes, brackets, LaTeX.
_OPEN = r"[\s*_`\"'“‘(\[{$\\]*(?:(?:text|mathrm|mathbf|textbf|boxed)\{[\s*(]*)*"
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_STATED = re.compile(
    r"\b(?:answer|option|choice)\b[*_]*\s*"
    r"(?:(?:is|would be|should be|must be|has to be)\b\s*:?|:|=)[*_]*\s*"
    r"(?:(?:the\s+)?(?:option|choice|letter)\b\s*:?)?",
    re.IGNORECASE,
)
_HASHES = re.compile(r"^####", re.MULTILINE)
_JUDGED = re.compile(
    r"(?:^|[\s*(\"'])([A-Z])[)*\"'.]*\s+(?:is|seems|must be)\s+(?:the\s+)?(?:correct|right|best)\b"
)
# "A" may be an article: what follows must not be one more word of a phrase.
_LETTER = re.compile(_OPEN + r"(?:([A-Z])(?![A-Za-z0-9'’])|(?<=\()([a-z])(?=\)))")
_GOES_ON = re.compile(
    r"\s+(?!because\b|since\b|as\b|for\b|which\b|with\b|and\b|or\b|but\b|is\b|not\b)[a-z]"
)
_ANOTHER = re.compile(
    r"[\s*_)\]}\"'’”.:$]*(?:\bor\b|\band\b|/|,|&)\s*(?:option\s+|choice\s+)?[*_\"'(\[]*[A-Z](?![A-Za-z0-9'’])"
)
_HEAD = re.compile(r"[*_(]*([A-Z])[*_]*[).:]")
_NUMBER = re.compile(
    _OPEN
    + r"(?:£|€|US\$|\\\$)?\s*"
    + r"([-−+]?\s*\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-−+]?\.\d+)(?:\s*/\s*(\d+))?"
)
_CALCULATION = re.compile(r"[\s$(\d.,+\-−*×/÷)]{1,200}=")
_ANOTHER_NUMBER = re.compile(r"[\s%]*(?:\bor\b|\bto\b|[-–—+*×÷])\s*[$£€]?\d")


def read_letter(text: str, n_choices: int) -> int | None:
    r"""The choice that a text names as its answer, from 0, or None.

    Read are, the last one first: `\boxed{B}`, "The answer is (B)" and the like, "(B) is correct";
    and where there is none of these, a last line or a whole text that is a letter alone, or a
    beginning such as "B. Paris" unless other choices are listed too. Reasoning up to `</think>`
    doesn't count, and reasoning without an end is not an answer.

    Args:
        n_choices: letters beyond these are no answer.
    """
    letters = LETTERS[:n_choices]
    answer = _after_thinking(text)
    if answer is None:
        return None

    def read(rest: str) -> int | None:
        found = _LETTER.match(rest)
        if found is None:
            return None
        letter = (found[1] or found[2]).upper()
        after = rest[found.end() :]
        if letter not in letters or _ANOTHER.match(after):
            return None
        bare = found[1] and rest[found.start(1) - 1 : found.start(1)] in ("", " ")
        if letter == "A" and bare and _GOES_ON.match(after):
            return None
        return letters.index(letter)

    stated = _last_statement(answer, read)
    judged = list(_JUDGED.finditer(answer))
    if judged and (not stated or judged[-1].start() > stated[0]):
        letter = judged[-1][1]
        return letters.index(letter) if letter in letters else None
    if stated:
        return stated[1]
    lines = [line.strip() for line in answer.strip().splitlines() if line.strip()]
    if not lines:
        return None
    heads = [m[1] if (m := _HEAD.match(line)) else None for line in lines]
    lone = re.fullmatch(r"[\W_]*([A-Z])[\W_]*", lines[-1])
    if lone:
        # "C. Paris" and then "D" is a list of the choices that breaks off.
        listed = len(lines) > 1 and heads[-2] is not None and ord(heads[-2]) == ord(lone[1]) - 1
        return letters.index(lone[1]) if lone[1] in letters and not listed else None
    if heads[0] is not None and set(heads) <= {heads[0], None} and heads[0] in letters:
        return letters.index(heads[0])
    return None


def read_number(text: str) -> Fraction | None:
    r"""The number that a text names as its answer, or None.

    Read are, the last one first: `\boxed{42}`, "The answer is 42", `#### 42`; and where there is
    none of these, a last line that is a number alone. Thousands separators, currency and per cent
    signs and a unit after the number don't count.
    """
    answer = _after_thinking(text)
    if answer is None:
        return None

    def read(rest: str) -> Fraction | None:
        while calculation := _CALCULATION.match(rest):  # its result, not its first number
            rest = rest[calculation.end() :]
        found = _NUMBER.match(rest)
        if found is None or _ANOTHER_NUMBER.match(rest[found.end() :]):
            return None
        digits = re.sub(r"[\s,$+]", "", found[1]).replace("−", "-")
        below = int(found[2] or 1)
        return Fraction(digits) / below if below else None

    stated = _last_statement(answer, read)
    if stated:
        return stated[1]
    lines = [line.strip() for line in answer.strip().splitlines() if line.strip()]
    if lines and re.fullmatch(r"[^\w\-−.]*[-−]?[\d.,/]*\d[^\w]*", lines[-1]):
        return read(lines[-1])
    return None


def _after_thinking(text: str) -> str | None:
    """What follows the reasoning; None if that has no end."""
    _, closed, after = text.rpartition("</think>")
    if closed:
        return after
    return None if "<think>" in text else text


def _last_statement(
    text: str, read: Callable[[str], Read | None]
) -> tuple[int, Read | None] | None:
    """Where the last stated answer begins, and what it says; None if nothing is stated."""
    statements = [(m.start(), m[1]) for m in _BOXED.finditer(text)]
    statements += [
        (m.start(), text[m.end() :])
        for pattern in (_STATED, _HASHES)
        for m in pattern.finditer(text)
        # What it is not, and a repeated instruction with nothing after it, states nothing.
        if text[m.end() :].strip() and not re.match(r"[\s*_]*(?:not|n't)\b", text[m.end() :])
    ]
    if not statements:
        return None
    start, rest = max(statements, key=lambda s: s[0])
    return start, read(rest)
