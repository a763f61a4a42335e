"""Reads the key of a question: which option is right, or which number.

    read_key("(B)", Options(("ash", "ant")))    # 1
    read_number_key("3 + 4 = 7 #### 7")         # Fraction(7, 1)

Keys are written in several ways. What can mean two options is refused, and never guessed.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from numbers import Number
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.questions.options import Options, column_label, is_whole, spelled, whole
from role_lens.rows.row import field_name
from role_lens.values import is_missing, plain, shown

INDEX = "an index from 0"
LETTER = "a letter"
LABEL = "a label"
COLUMN = "the name or number of a column"
TEXT = "the text of an option"

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The letters of the options, in their order."""

_LETTER = re.compile(r"[(\[]?([A-Za-z])(?:[)\].:]+(?:\s+(.+))?)?", re.DOTALL)
# Thousands in groups of three, or as in India of two before the last three.
_GROUPED = re.compile(r"[+-]?\d{1,3}([,'’_ \u00a0\u2009\u202f])(?:\d{2,3}\1)*\d{3}(?:\.\d+)?")


def readings(key: Any, options: Options) -> dict[str, int]:
    """The ways in which a key can be read -> the index of the option that it is then.

    Raises:
        RoleLensError: it can't be read in any way.

    Examples:
        >>> readings("1", Options(("0", "1", "2")))
        {'an index from 0': 1, 'the text of an option': 1}
    """
    key = plain(key)
    if is_missing(key):
        raise RoleLensError(
            "there is no answer: take a part of the benchmark with answers, or leave the row out"
        )
    if isinstance(key, bool) or not isinstance(key, (str, Number)):
        raise RoleLensError(_unreadable(key, options))
    label = _by_label(key, options)
    found = _by_place(key, options) if label is None else {LABEL: label}
    # An option's text, where texts and key are both words or both numbers.
    alike = isinstance(key, str) or any(isinstance(one, Number) for one in options.texts)
    place = _only_place(key, options.texts) if alike and label is None else None
    if place is not None:
        found[TEXT] = place
    if not found:
        raise RoleLensError(_unreadable(key, options))
    return found


def settle(key: Any, options: Options, ways: Mapping[str, int], among: Collection[str] = ()) -> int:
    """The index of the right option, given the ways in which a key can be read.

    Args:
        among: ways in which every key of the file can be read; where there are any, only these
            count.

    Raises:
        RoleLensError: two of them lead to different options.

    Examples:
        >>> options = Options(("0", "1", "2"))
        >>> settle("1", options, readings("1", options))
        1
    """
    possible = {way: index for way, index in ways.items() if way in among} or ways
    if len(set(possible.values())) > 1:
        meant = " or ".join(
            f"the option {shown(str(options.texts[index]))} as {way}"
            for way, index in possible.items()
        )
        other = "a letter" if LETTER not in possible else INDEX
        raise RoleLensError(f"the answer {shown(key)} can be {meant}: write it as {other}")
    return next(iter(possible.values()))


def read_key(key: Any, options: Options) -> int:
    """The index of the option that a key names.

    Raises:
        RoleLensError: it names none, or can be read as two.

    Examples:
        >>> read_key("(B)", Options(("ash", "ant"))), read_key("ash", Options(("ash", "ant")))
        (1, 0)
    """
    return settle(key, options, readings(key, options))


def read_number_key(key: Any) -> Fraction:
    """The number that is the answer: a number, or a text that ends in one after `####`.

    Separators of thousands, a sign of currency and per cent don't count.

    Raises:
        RoleLensError: there is no number.

    Examples:
        >>> read_number_key("$1,200"), read_number_key(0.5)
        (Fraction(1200, 1), Fraction(1, 2))
    """
    if isinstance(key, Fraction):
        return key
    text = str(key).rpartition("####")[2].strip("$€£% \n").replace("−", "-")
    if grouped := _GROUPED.fullmatch(text):
        text = text.replace(grouped[1], "")
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise RoleLensError(f"expected a number as the answer, got {shown(key)}") from error


def _by_label(key: Any, options: Options) -> int | None:
    place = _only_place(key, options.labels)
    return _by_letter(key, options.labels, options.texts) if place is None else place


def _by_place(key: Any, options: Options) -> dict[str, int]:
    found, text = {}, spelled(key)
    for names in (options.columns, [column_label(name) for name in options.columns]):
        place = _only_place(field_name(text), names)
        if place is not None:
            found[LETTER if len(names[place]) == 1 and names[place].isalpha() else COLUMN] = place
            break
    # Where labels are numbers, another number isn't an index; and so with letters.
    if is_whole(text) and not any(map(is_whole, options.labels)):
        found |= {INDEX: whole(text)} if 0 <= whole(text) < len(options.texts) else {}
    letters = LETTERS[: len(options.texts)]
    if not any(len(label) == 1 and label.isalpha() for label in options.labels):
        place = _by_letter(key, letters, options.texts)
        found |= {} if place is None else {LETTER: place}
    return found


def _by_letter(key: Any, letters: Sequence[str], texts: Sequence[Any]) -> int | None:
    """The place of a letter as "B", "(b)" or "B."; the option's text may follow it."""
    found = _LETTER.fullmatch(spelled(key))
    place = _only_place(found[1], letters) if found else None
    if found is None or place is None or found[2] not in (None, spelled(texts[place])):
        return None
    return place


def _only_place(key: Any, texts: Sequence[Any]) -> int | None:
    """The place of the one text that is the key; case counts only if two differ in nothing else."""
    for form in (spelled, lambda value: spelled(value).casefold()):
        places = [place for place, text in enumerate(texts) if form(text) == form(key)]
        if len(places) == 1:
            return places[0]
    return None


def _unreadable(key: Any, options: Options) -> str:
    n, text = len(options.texts), spelled(key)
    if isinstance(key, bool) or options.labels or not is_whole(text):
        ways = f"an index from 0 to {n - 1}, a letter"
        if options.labels:
            ways = f"one of the labels {', '.join(map(str, options.labels))}"
        return f"expected {ways} or the text of exactly one option as the answer, got {shown(key)}"
    hint = ""
    if whole(text) == n:
        hint = "; if answers are counted from 1, count them from 0"
    if whole(text) < 0:
        hint = "; this often says that the answer is kept back: take a part that has answers"
    return f"the answer {text} is outside the choices, 0 to {n - 1}{hint}"
