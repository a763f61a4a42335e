"""Reads a number at the beginning of what a text states.

    NumberReader().read("60 + 60 = 120 meters.", "english")    # Fraction(120, 1)

A number that is changed, compared, or one of several, is none.
"""

import re
from fractions import Fraction

from role_lens.scoring.answers import languages
from role_lens.scoring.answers.languages import Tongue
from role_lens.scoring.answers.numerals import NUMERAL, value_of
from role_lens.scoring.answers.statements import (
    CUT,
    DECORATION,
    LONGEST_LINE,
    Reader,
    first_sentence,
    from_words,
)

_REASONED = re.compile(
    r"\b(?:because|since|which|as|rather\s+than|instead\s+of)\b|,\s+(?:so|given|(?:and\s+)?not)\b"
    rf"|(?<!\w)(?:{languages.BECAUSE})(?!\w)"
)
_MOST_DIGITS = 50  # of an answer; loops of a model are longer
_CURRENCY = r"(?:US\$|R\$|USD|EUR|GBP|CHF|Rs\.?|[$£€₹¥₩₽₺₪₫฿])"
_UNIT = r"(?:%|°|°C|km|cm|mm|m|kg|g|mg|l|ml|s|h|hrs?|min|ft|in|lbs?|oz|mph)(?:\^\{?[23]\}?)?"
_NUMBER = re.compile(
    rf"(?:{DECORATION}|\()*(?:approximately|about|around|roughly|exactly|≈|~)?(?:{DECORATION}|\()*"
    rf"{_CURRENCY}?\s*(?P<sign>[-–+]|(?:minus|negative)\s)?\s*{_CURRENCY}?\s*{NUMERAL}"
    rf"(?:\s*{_UNIT}(?:/{_UNIT})?)?(?![\w^√π\\])"
)
_POWER_OF_UNIT = re.compile(r"(?<=[A-Za-z])\^\{?[23]\}?")
# What makes a number another one.
_CHANGED = re.compile(
    r"[\s*_]*(?:\.\.|\+|±|(?:hundreds?|thousands?|millions?|billions?|trillions?|dozens?|score"
    r"|gross|lakhs?|crores?"
    r"|bn|mn|[kKMB]|pi|π|times|plus|minus|squared|cubed|and\s+a|or\s+(?:more|less|so)"
    r"|hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|sixths?|eighths?|tenths?|hundredths?"
    rf"|[b-fi-knp-rt-z])\b|(?i:{languages.TIMES}))"
    r"|\s*(?:\*(?!\*)\s*\w|[×·÷/^!]|-\W*\Z)"
)
# "2 500 ml bottles" may be two bottles.
_TWO_WORDS = re.compile(r"\W*[A-Za-z]+\W+[A-Za-z]")
_AND_A_HALF = re.compile(r"\band\s+a\s+(?:half|third|quarter)\b")
_COMPARED = re.compile(r"[<>≠≤≥]|!=|\\(?:[gl]eq?|neq?)\b")
# At the very beginning only if nothing follows: there it may be a heading.
_HASHES = re.compile(
    r"(?:(?<=\n)|\A(?=[^\n]*\Z))####[ \t]*[*_]*"
    r"([^\w\n#]*\d(?:[^A-Za-z\n#]*[\d%$€£])?(?:e[-+]?\d+)?)[*_]*(?:[ \t]+[a-z]+)?\.?[ \t]*$",
    re.MULTILINE,
)
_ITEM = re.compile(r"\s*(\d+)([.)])\s*")
# A hyphen and a space begin an item of a list.
_ALONE = re.compile(
    rf"(?!\s*-\s)[^\w.\-–#]*[-–]?[^\w.#]*{NUMERAL}(?P<unit>\s[a-z]{{2,}})?[^\w+!^/]*"
)


class NumberReader(Reader[Fraction]):
    """Reads numbers."""

    mention = re.compile(r"\d")
    boxes = (_HASHES,)
    leaves = False

    def read(self, rest: str, tongue: Tongue) -> Fraction | None:
        rest = first_sentence(from_words(rest))
        for ending in (re.compile(r"\n"), _REASONED):
            rest = ending.split(rest, maxsplit=1)[0]
        if CUT in rest or _COMPARED.search(rest):  # "16 - 3" may be on its way to 16 - 30
            return None
        *before, rest = re.split(r"[=≈]", rest)  # of a calculation its result
        if any(re.search(r"\b(?:or|and)\b", part) for part in before):
            return None
        if any(re.search(r"[,;]\s*[A-Za-z]", part) for part in before[1:]):  # "x = 5, y = 6"
            return None
        found = _NUMBER.match(rest)
        if found is None or len(found["digits"]) > _MOST_DIGITS:
            return None
        after = _POWER_OF_UNIT.sub("", rest[found.end() :])
        if re.search(r"\d", after) or _CHANGED.match(after) or _AND_A_HALF.search(after):
            return None
        if found["by"] == " " and _TWO_WORDS.match(rest, found.end("digits")):
            return None
        value = value_of(found, tongue)
        if value is None:
            return None
        return -value if found["sign"] and found["sign"] != "+" else value

    def read_box(self, content: str) -> Fraction | None:
        return None if content.rstrip().endswith("!") else self.read(content, "english")

    def read_lines(self, answer: str) -> Fraction | None:
        """A number alone in the last line, or one with a unit that is all of the text."""
        lines = [line for line in answer.splitlines() if line.strip()]
        if not lines or len(lines[-1]) > LONGEST_LINE:
            return None
        item = _ITEM.fullmatch(lines[-1])
        if item and _may_be_item(int(item[1]), item[2], lines[:-1]):
            return None
        alone = _ALONE.fullmatch(lines[-1])
        if alone is None or (alone["unit"] and len(lines) > 1):
            return None
        return self.read(lines[-1], "english")

    def read_end(self, sentence: str, more: str) -> Fraction | None:
        whole = len(sentence) < LONGEST_LINE and _ALONE.fullmatch(sentence)
        return self.read(sentence, "english") if whole and not re.search(r"\w", more) else None


def _may_be_item(number: int, mark: str, before: list[str]) -> bool:
    """Whether "3." may be the beginning of one more item of a list."""
    return mark == ")" or number == 1 or any(re.match(rf"\W*{number - 1}[.)]", x) for x in before)
