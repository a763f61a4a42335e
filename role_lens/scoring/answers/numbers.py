r"""Reads the number that a generated text states as its answer, or nothing at all.

    read_number("So 3 + 4 = 7. The answer is 7.")    # Fraction(7, 1)

A text that states no number, or two, is unreadable; it is never guessed.
"""

import re
from fractions import Fraction

from role_lens.scoring.answers import languages
from role_lens.scoring.answers.conclusions import concluded, last_sentence
from role_lens.scoring.answers.languages import Tongue
from role_lens.scoring.answers.numerals import NUMERAL, value_of
from role_lens.scoring.answers.statements import (
    CUT,
    DECORATION,
    SENTENCE_END,
    Reader,
    answer_part,
    from_words,
    last_statement,
    one_question,
)

_REASONED = re.compile(
    r"\b(?:because|since|which|as|rather\s+than|instead\s+of)\b|,\s+(?:so|given|(?:and\s+)?not)\b"
    rf"|(?<!\w)(?:{languages.BECAUSE})(?!\w)"
)
_LONGEST = 50  # digits of an answer; loops of a model are longer
_LINE = 200  # characters of a line that is a number alone
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


def read_number(text: str, *, truncated: bool = False) -> Fraction | None:
    r"""Read the number that a text names as its answer, or None.

    Of these forms the last one is read:

    - a statement: "The answer is 42", "La respuesta es 42", "答案：42";
    - a box: `\boxed{42}`, `#### 42`, `<answer>42</answer>`, or a record, `{"answer": 42}`.

    The end may conclude ("So 42."), and has to agree with a form before it. Where there is none of
    all these, a last line that is a number alone is read, or a text that is a number and a unit. Of
    a calculation the result is taken; signs of currency and per cent, and a unit, don't count.

    A comma, a space, an apostrophe or an underscore before each three digits separates thousands
    (also "10,00,000"); one point is the decimal point, as in English, so that "1.000" is 1, and
    several separate thousands. Of a point and a comma the later one is the decimal mark:
    "1.000,50" is 1000.5. In a statement in a language with decimal commas "3,5" is 3.5, and
    "1.000" and "1,000" are not read. "3 1/2" is 7/2, and "1.2 × 10^3" is 1200.

    What is not read: a second number; one that is changed ("5 million", "5 and a half", "5 x"),
    compared ("x > 5"), only calculated ("4 * 5"), asked, supposed, or taken back; "5,5", which may
    be two; "2 500 ml bottles", which may be two bottles; "Answer - 5", which may be -5; numbers in
    words; a last line that may be an item of a list ("3." after "2. …", "- 5"); reasoning without
    an end; and an answer to a further question that the text goes on with. Reasoning up to
    `</think>` doesn't count, and of a longer text only the last 4,000 characters do.

    Args:
        truncated: whether the limit of tokens ended the text, so that its last word may be half of
            one.

    Examples:
        >>> from role_lens.scoring import read_number
        >>> read_number("So 3 + 4 = 7. The answer is 7.")
        Fraction(7, 1)
        >>> read_number("The answer is 1 000,50.")
        Fraction(2001, 2)
    """
    answer = answer_part(text, truncated)
    if answer is None:
        return None
    answer = one_question(answer, lambda part: re.search(r"\d", part) is not None)
    stated = last_statement(answer, _READER)
    end = concluded(answer, _read_end, leaves=False)
    said = stated[1] if stated else _read_lines(answer)
    if end is None or (stated and end[0] < stated[0]) or end[1] == said:
        return said
    return end[1] if stated is None and said is None else None


def _read_lines(answer: str) -> Fraction | None:
    """A number alone in the last line, or one with a unit that is all of the text."""
    lines = [line for line in answer.splitlines() if line.strip()]
    if not lines or len(lines[-1]) > _LINE:
        return None
    item = _ITEM.fullmatch(lines[-1])
    if item and _may_be_item(int(item[1]), item[2], lines[:-1]):
        return None
    alone = _ALONE.fullmatch(lines[-1])
    if alone is None or (alone["unit"] and len(lines) > 1):
        return None
    return _read_number(lines[-1], "english")


def _may_be_item(number: int, mark: str, before: list[str]) -> bool:
    """Whether "3." may be the beginning of one more item of a list."""
    return mark == ")" or number == 1 or any(re.match(rf"\W*{number - 1}[.)]", x) for x in before)


def _read_end(rest: str) -> Fraction | None:
    sentence, more = last_sentence(rest)
    whole = len(sentence) < _LINE and _ALONE.fullmatch(sentence) and not re.search(r"\w", more)
    return _read_number(sentence, "english") if whole else None


def _read_box(content: str) -> Fraction | None:
    return None if content.rstrip().endswith("!") else _read_number(content, "english")


def _read_number(rest: str, tongue: Tongue) -> Fraction | None:
    rest = from_words(rest)
    for ending in (SENTENCE_END, re.compile(r"\n"), _REASONED):
        end = ending.search(rest)
        rest = rest[: end.start() if end else None]
    if CUT in rest or _COMPARED.search(rest):  # "16 - 3" may be on its way to 16 - 30
        return None
    *before, rest = re.split(r"[=≈]", rest)  # of a calculation its result
    if any(re.search(r"\b(?:or|and)\b", part) for part in before):
        return None
    if any(re.search(r"[,;]\s*[A-Za-z]", part) for part in before[1:]):  # "x = 5, y = 6"
        return None
    found = _NUMBER.match(rest)
    if found is None or len(found["digits"]) > _LONGEST:
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


def _says(rest: str) -> bool:
    end = SENTENCE_END.search(rest)
    return re.search(r"\d", rest[: end.start() if end else None]) is not None


_READER = Reader(_read_number, _read_box, _says, (_HASHES,))
