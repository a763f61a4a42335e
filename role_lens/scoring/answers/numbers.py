"""Reads the number that a generated text states as its answer, or nothing at all.

    read_number("So 3 + 4 = 7. The answer is 7.")    # Fraction(7, 1)

A text that states no number, or two, is unreadable; it is never guessed.
"""

import re
from fractions import Fraction

from role_lens.scoring.answers.statements import (
    CUT,
    DECORATION,
    SENTENCE_END,
    answer_part,
    from_words,
    last_statement,
    one_question,
)

_REASONED = re.compile(r"\b(?:because|since|which|as)\b")
_LONGEST = 50  # digits of an answer; loops of a model are longer
_NUMBER = re.compile(
    rf"(?:{DECORATION}|\()*(?:approximately|about|around|roughly|exactly|≈|~)?(?:{DECORATION}|\()*"
    r"(?:US\$|USD|EUR|GBP|Rs\.?|[$£€₹])?\s*(?P<sign>[-−–+]?)\s*[$£€₹]?\s*"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?P<power>e[+-]?\d{1,2}\b)?"
    r"(?:\s*/\s*(?P<below>\d+))?"
    r"(?:\s*(?:%|°|°C|km|cm|mm|m|kg|g|mg|l|ml|s|h|hrs?|min|ft|in|lbs?|oz|mph))?(?![\w^√π\\])"
)
# What makes a number another one.
_CHANGED = re.compile(
    r"[\s*_]*(?:\.\.|\+|(?:hundreds?|thousands?|millions?|billions?|trillions?|dozens?|lakhs?|crores?"
    r"|bn|mn|pi|π|times|plus|minus|squared|cubed|and\s+a|or\s+(?:more|less|so))\b)"
)
# At the very beginning only if nothing follows: there it may be a heading.
_HASHES = re.compile(
    r"(?:(?<=\n)|\A(?=[^\n]*\Z))####[ \t]*[*_]*"
    r"([$£€]?[-−]?[\d,]*\.?\d+[ \t]*%?)[*_]*(?:[ \t]+[a-z]+)?\.?[ \t]*$",
    re.MULTILINE,
)
_ITEM = re.compile(r"\s*\d+[.)]\s*")


def read_number(text: str, *, truncated: bool = False) -> Fraction | None:
    r"""Read the number that a text names as its answer, or None.

    These forms are read, of several the last one: `\boxed{42}`, "The answer is 42" and `#### 42`.
    Where there is none of these, a last line that is a number alone is read. Of a calculation the
    result is taken. Thousands separators, signs of currency and per cent, and a unit after the
    number don't count; a second number makes the answer unreadable.

    Args:
        truncated: whether the limit of tokens ended the text, so that its last word may be half of
            one.

    Examples:
        >>> from role_lens.scoring import read_number
        >>> read_number("So 3 + 4 = 7. The answer is 7.")
        Fraction(7, 1)
    """
    answer = answer_part(text, truncated)
    if answer is None:
        return None
    answer = one_question(answer, lambda part: re.search(r"\d", part) is not None)

    def says(rest: str) -> bool:
        end = SENTENCE_END.search(rest)
        return re.search(r"\d", rest[: end.start() if end else None]) is not None

    stated = last_statement(answer, _read_number, _read_number, says, _HASHES)
    if stated is not None:
        return stated[1]
    lines = [line for line in answer.splitlines() if line.strip()]
    if not lines or _ITEM.fullmatch(lines[-1]):  # the beginning of one more item of a list
        return None
    alone = len(lines[-1]) < 4 * _LONGEST and re.fullmatch(
        r"[^\w.\-−–#]*[-−–]?[^\w.#]*[\d.,/]*\d[^\w]*", lines[-1]
    )
    return _read_number(lines[-1]) if alone else None


def _read_number(rest: str) -> Fraction | None:
    # Runs of spaces, which models write, would be tried in every division.
    rest = re.sub(r"[^\S\n]+", " ", from_words(rest))
    for ending in (SENTENCE_END, re.compile(r"\n"), _REASONED):
        end = ending.search(rest)
        rest = rest[: end.start() if end else None]
    if CUT in rest:  # "16 - 3" may be on its way to 16 - 30
        return None
    *before, rest = re.split(r"[=≈]", rest)  # of a calculation its result
    if any(re.search(r"\b(?:or|and)\b", part) for part in before):
        return None
    found = _NUMBER.match(rest)
    if found is None or len(found["digits"]) > _LONGEST:
        return None
    after = rest[found.end() :]
    if re.search(r"\d", after) or _CHANGED.match(after):
        return None
    sign = "-" if found["sign"] in ("-", "−", "–") else ""
    value = Fraction(sign + found["digits"].replace(",", "") + (found["power"] or ""))
    below = int((found["below"] or "1")[:_LONGEST])
    return value / below if below else None
