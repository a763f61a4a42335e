"""Finds what the end of a text concludes: "So B.", "It must be B."

    concluded("C is too small. So (B).", LetterReader(["ash", "ant"]))    # (14, 1)

A conclusion is weaker than a statement, and is read only at the end.
"""

import re

from role_lens.scoring.answers.statements import SENTENCE_END, TAKEN_BACK, Read, Reader

_IS = r"(?:is|must\s+be|has\s+to\s+be|can\s+only\s+be|would\s+be)"
_THUS = (
    r"(?:so|therefore|thus|hence|consequently|accordingly|in\s+conclusion|by\s+elimination|overall"
    r"|finally|(?:most\s+)?(?:likely|probably))"
)
_IT = rf"(?:(?:it|this|that)\s+{_IS}|(?:it|that)['’]s)"
_LEAVES = r"(?:(?:this|that|which|it)\s+)?(?:leaves|leaving)(?:\s+(?:us\s+with|only|just))?"
_LEAD = re.compile(
    rf"(?:^|[.,:;!?]\s+|\n\s*)[*_]*"
    rf"(?:{_THUS}\b[,:]?[\s*_]+(?:{_IT}\s+)?|[∴⇒]\s*|{_IT}\s+)"
    rf"|(?:^|[.,:;!?]\s+|\n\s*)[*_]*(?:{_THUS},?\s+)?(?P<leaves>{_LEAVES})\s+",
    re.IGNORECASE,
)


def concluded(text: str, reader: Reader[Read]) -> tuple[int, Read] | None:
    """Where the end of a text concludes, and what; None if it doesn't, or if the text takes
    anything back."""
    leads = [m for m in _LEAD.finditer(text) if reader.leaves or not m["leaves"]]
    if not leads or TAKEN_BACK.search(text):
        return None
    found = reader.read_end(*_last_sentence(text[leads[-1].end() :]))
    return None if found is None else (leads[-1].start(), found)


def _last_sentence(rest: str) -> tuple[str, str]:
    """The sentence or line that a text begins with, and what follows it; no sentence if it asks."""
    parts = re.split(rf"({SENTENCE_END.pattern}|\n)", rest, maxsplit=1)
    sentence, mark, more = (*parts, "", "")[:3]
    return "" if mark == "?" else sentence, more
