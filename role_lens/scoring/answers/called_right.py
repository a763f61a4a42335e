"""Finds the letter that a text calls right.

    last_called_right("A is wrong, (B) is correct.", "ABCD", since=-1)    # (10, 1)

A letter that is called right under a condition isn't found.
"""

import re

from role_lens.scoring.answers import languages
from role_lens.scoring.answers.second_letter import calls_another_right
from role_lens.scoring.answers.statements import TAKEN_BACK, sentence_before

_START = r"(?:^|[.,;:!?∴]\s+|\n\s*)(?:[-*]\s+)?"
_THUS = (
    r"(?i:(?:(?:so|but|and|therefore|thus|hence|clearly|finally|I\s+(?:think|believe))"
    r"(?:\s+that)?,?\s+){0,2})"
)
_NAMED = (
    r"[*_(\"]*(?:(?i:(?:answer\s+choice|option|choice|answer|letter"
    r"|alternative)\s+[*_(\"]*(?P<named>[A-Z]))"
    r"|(?<=\()(?P<bracketed>[a-z])(?=\))|(?P<bare>[A-Z]))[*_)\"]*"
)
_BEST = (
    r"(?:most\s+(?:likely|accurate|appropriate|plausible|suitable|probable|logical|reasonable)"
    r"|only\s+correct|correct|right|best)"
)
_END = r"\s*[*_]*(?=[.,;:!\n]|$|\s+[(–—]|(?P<because>\s+(?:because|since|as)\b))"
_CALLED = re.compile(
    rf"{_START}{_THUS}(?:(?i:only|the)\s+)?{_NAMED}\s+"
    r"(?:is|(?:must|would|should|has\s+to)\s+be|(?:seems|appears)\s+to\s+be)\s+"
    r"(?:(?:therefore|thus|clearly|definitely|indeed|probably|(?:most\s+)?likely),?\s+)?"
    rf"(?:the\s+(?:{_BEST}\s+)?(?P<noun>answer)"
    rf"|(?:the\s+)?{_BEST}(?:\s+(?P<choice>option|choice|answer|one))?)"
    r"(?:\s+(?:here|(?:among|of)\s+the\s+options|to\s+(?:the|this)\s+question))?"
    rf"{_END}"
)
_LEFT = re.compile(rf"{_START}{_THUS}(?i:only)\s+{_NAMED}\s+(?:remains|is\s+left)\s*(?=[.,;!\n]|$)")
_CALLED_ELSEWHERE = re.compile(
    rf"(?<!\w)\(?(?P<bare>[A-Z])\)?{languages.IS_RIGHT}(?=\s*(?:[.,;!\n]|$)"
    rf"|\s+(?:{languages.BECAUSE}))",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(r"\b(?:if|neither|none|nor|unless|suppose|whether)\b", re.IGNORECASE)


def last_called_right(answer: str, letters: str, *, since: int) -> tuple[int, int | None] | None:
    """Where, after a place, a letter is called right for the last time, and which: its index, or
    None if several are, or if it is taken back or no option's. None if no letter is called so."""
    called = [
        (m.start(), _letter(m), m.end())
        for pattern in (_CALLED, _LEFT)
        for m in pattern.finditer(answer)
        if _sure(m)
    ]
    called += [
        (m.start(), m["bare"].upper(), m.end())
        for m in _CALLED_ELSEWHERE.finditer(answer)
        if languages.is_sure(sentence_before(answer, m.start()))
    ]
    called = [one for one in called if one[0] > since]
    if not called:
        return None
    place, letter, end = max(called)
    several = len({one[1] for one in called}) > 1
    if several or letter not in letters or TAKEN_BACK.search(answer, end):
        return place, None
    if any(calls_another_right(one[1], answer[one[2] :], letters) for one in called):
        return place, None
    return place, letters.index(letter)


def _letter(found: re.Match[str]) -> str:
    return (found["named"] or found["bracketed"] or found["bare"]).upper()


def _sure(found: re.Match[str]) -> bool:
    """Whether it isn't said under a condition, nor of one statement among others: "(A) is wrong
    because … (B) is right because …"."""
    fields = found.groupdict()
    place = next(found.start(n) for n in ("named", "bracketed", "bare") if fields[n])
    of_option = fields["named"] or fields.get("noun") or fields.get("choice")
    if fields.get("because") and not of_option:
        return False
    return not _CONDITIONAL.search(sentence_before(found.string, place))
