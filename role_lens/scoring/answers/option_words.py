"""Compares what follows a letter with the words of its option.

    after_words(" Paris or (C).", "paris")    # " or (C)."

What follows the words of an option says whether it is the whole answer.
"""

import re

# A line that begins with "or" goes on with the one before.
_LINE_END = re.compile(r"\n(?!\W*(?:or|and|also|alternatively)\b)", re.IGNORECASE)
_REJECTED = re.compile(
    r"(?:(?:which|it|this|that) )?(?:(?:is|are|was) )?(?:(?:wrong|incorrect|false)\b"
    r"(?! (?:answer|option|choice|statement)s?\b)"
    r"|(?:not|isn t)(?: (?:(?:the )?(?:correct|right|true|best|answer|option|choice)|it)\b|$))"
)
_ASKED = re.compile(r"[^\w.;!\n]*\?")


def words(text: str) -> str:
    """The words of a text in small letters, without marks."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def after_words(text: str, said: str) -> str | None:
    """What follows in the same line of a text that begins with some words, which are given as by
    `words`; None if it doesn't begin with them, or if there are none."""
    for word in re.finditer(r"\w+", text):
        begun = words(text[: word.end()])
        if begun == said:
            return _LINE_END.split(text[word.end() :], maxsplit=1)[0]
        if not said.startswith(begun):
            break
    return None


def denied(after: str) -> bool:
    """Whether what follows the words of an option denies or asks it."""
    return bool(_ASKED.match(after) or _REJECTED.match(words(after)))
