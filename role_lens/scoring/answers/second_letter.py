"""Tells whether a text that names one option names another one too.

    names_another("B", " or C.", "ABCD")    # True

A letter that only explains, as in "B, because A is small", names none.
"""

import re

from role_lens.scoring.answers import languages
from role_lens.scoring.answers.statements import CUT, MARKS, SENTENCE_END

MENTION = re.compile(r"(?<!\w)[A-Z](?!\w)|\([*_]*[a-z][*_]*\)")
"""A letter that may name an option."""
_REASON = re.compile(
    r"\b(?:because|since|(?<!well\s)as(?!\s+well)|for|which|but|not|while|whereas|rather|instead)\b"
    rf"|(?<!\w)(?:{languages.BECAUSE})(?!\w)"
)
# A line such as "Reason: A is wrong."
_HEADING = re.compile(
    r"\n[\W_]*(?!(?:or|and|also|alternatively)\b)[^\W\d_]{2,20}(?: \w+)?[*_]* ?:", re.IGNORECASE
)
_DEPENDS = re.compile(r"\b(?:if|unless|otherwise|provided)\b")
# Something else, or a text that was cut off before the other letter.
_OR_WHAT = re.compile(
    rf"\A[\s{MARKS}),]*or\b|(?:\b(?:or|and|nor)|[/&,])[\s*_(]*\w*{CUT}"
    rf"|\b(?:o|or|a|an|and|n|no|nor){CUT}"
)
_ALSO = re.compile(
    r"(?:[.;!]\s+(?:or|and|also|alternatively|possibly|maybe|perhaps),?|;)\s+(?:option\s+)?"
    r"\(?[a-z]\)?\s*(?:[.,;!?\n]|$)",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"(?<![\w'’.])([A-Z])(?![\w'’+]|-\w)|\(([a-z])\)")
_SMALL_TOKEN = re.compile(r"(?<![\w'’.])([b-z])(?![\w'’])")
_DENIED_TOKEN = re.compile(
    r"(?:(?:not|than|of)\s+(?:option\s+)?\W*)\b[A-Z]\b|\b[A-Z]\b\W*\s+(?:is|are|was)\s+"
    r"(?:not|wrong|incorrect|false)\b"
)


def names_another(letter: str, after: str, letters: str, *, small: bool = False) -> bool:
    """Whether what follows a letter names another one, or makes it depend on something.

    Args:
        small: whether options are named by small letters.
    """
    end = SENTENCE_END.search(after)
    ends = [m.start() for m in (end, _REASON.search(after), _HEADING.search(after)) if m]
    sentence = after[: min(ends)] if ends else after
    if _DEPENDS.search(sentence) or _OR_WHAT.search(sentence) or _cut_at_another(sentence):
        return True
    if end and _ALSO.match(after, end.start()):
        return True
    return _tokens(sentence, letters, small) - {letter} != set()


def calls_another_right(letter: str, after: str, letters: str) -> bool:
    """Whether the rest of a sentence that calls a letter right calls another one right too."""
    end, because = SENTENCE_END.search(after), re.search(r"\b(?:because|since|as)\b", after)
    sentence = after[: end.start() if end else None]
    if _DEPENDS.search(sentence):
        return True
    before = _DENIED_TOKEN.sub(" ", sentence[: because.start() if because else None])
    return _tokens(before, letters, small=False) - {letter} != set()


def _tokens(sentence: str, letters: str, small: bool) -> set[str]:
    found = {(a or b).upper() for a, b in _TOKEN.findall(sentence)}
    if small:
        found |= {token.upper() for token in _SMALL_TOKEN.findall(sentence)}
    return found & set(letters)


def _cut_at_another(sentence: str) -> bool:
    """Whether a text breaks off in, or after, another language's "or"."""
    said, cut, _ = sentence.partition(CUT)
    *_, before, last = ["", "", *re.findall(r"\w+", said)]
    breaks = before in languages.OR or any(word.startswith(last) for word in languages.OR)
    return bool(cut and last) and breaks
