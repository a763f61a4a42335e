"""Finds where a generated text states its answer.

    last_statement(text, read, read_box, says)

What is said there is read by the readers of letters and of numbers.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

Read = TypeVar("Read")

MARKS = r"*_`\"'“”‘’$\\{}\[\]"
DECORATION = rf"[\s{MARKS}]"
"""Marks around an answer: Markdown, quotes, brackets, LaTeX."""
_LONGEST = 4000  # characters of a text that are read, its last ones; loops of a model are longer

# --- what is taken off before reading

_THINK = re.compile(r"<(/?)\|?(?:think|thinking|thought|reasoning)\|?>", re.IGNORECASE)
_LATEX = [
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r" \1/\2"),
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)(?!\d)"), r" \1/\2"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}"), r" \1"),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ\b)"), "°"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\\[,!; ]"), ""),
    (re.compile(r"\\([$%])"), r"\1"),
]
CUT = "\ufdd0"
"""Follows a last word that may be half of one: "1" of "18", "B" of "Berlin". Not a character, so
that no text has it of its own."""
_MAY_GO_ON = re.compile(r"(?:[^\W_]|,|\d\.)$")

# --- where an answer is stated

_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_IS = (
    r"[*_]*\s*(?:(?:here|to\s+(?:the|this)\s+(?:question|problem))\s+)?"
    r"(?:(?:is|was|would\s+be|should\s+be|must\s+be|will\s+be|has\s+to\s+be)\b|(?=[:：=\n]))[*_]*\s*"
    r"(?:(?:therefore|thus|then|clearly|definitely|indeed|actually|most\s+likely|simply|just)\b,?\s*)?"
    r"[:：=]?"
)
_STATED = re.compile(
    rf"\b(?:answer|response)\b(?:\s+(?:choice|option)\b)?{_IS}"
    rf"|\b(?:correct|right|best|final)\s+(?:option|choice|letter)\b{_IS}"
    r"|\bI(?:'d|’d|'ll|’ll|\s+would|\s+will)?\s+(?:choose|pick|select|go\s+with)\b",
    re.IGNORECASE,
)
# Said of an answer that is not the answer, in the line before it.
_OTHER_THAN = re.compile(
    r"(?:\b(?:wrong|incorrect|other|another|second|first|previous|initial|your|possible|plausible"
    r"|tempting|common|typical|worst|least\s+likely|false|no|not)|n't|n’t|'s|’s)"
    r"[ \t]+(?:\w+[ \t]+)?$",
    re.IGNORECASE,
)
# A sentence that only weighs an answer.
_HYPOTHETICAL = re.compile(
    r"\b(?:if|whether|unless|suppose|supposing|assume|assuming|maybe|perhaps|might|could|initially"
    r"|thought|some|many|people|students?|say|says|claims?|doubt|can't|cannot|neither|none|nor"
    r"|should\s+I)\b",
    re.IGNORECASE,
)
TAKEN_BACK = re.compile(
    r"\b(?:wait|correction|actually|sorry|mistake|reconsider|second\s+thought|hmm+"
    r"|double[-\s]?check|re-?check|hold\s+on|scratch\s+that)\b",
    re.IGNORECASE,
)
# Where a model goes on with a question of its own.
_NEXT_QUESTION = re.compile(r"\n[ \t#*_]*(?:Question|Q)\b[ \t]*\d*[ \t]*[*_]*[:.]")
# What it is not, and a form that is repeated without an answer in it, state nothing.
_EMPTY = re.compile(
    r"[\s*_:]*(?:not\b|n't\b|$|(?:correct|right|wrong|incorrect|reasonable|consistent|supported|given"
    r"|based|derived|obtained|found)\b)|\s*[\"“(]*(?:X|N)\b[\"”).,]"
)
_WINDOW = 400  # characters in which an answer is looked for
SENTENCE_END = re.compile(r"[.;!?](?=\s|$)|\n\s*\n")


def answer_part(text: str, truncated: bool) -> str | None:
    """What follows the reasoning, without LaTeX's commands, and with `CUT` behind a last word that
    may be half of one; None if the reasoning has no end."""
    marks = list(_THINK.finditer(text))
    if marks and not marks[-1][1]:
        return None
    answer = (text[marks[-1].end() :] if marks else text).strip()[-_LONGEST:]
    if truncated and len(answer.split(maxsplit=1)) > 1 and _MAY_GO_ON.search(answer):
        answer += CUT
    for pattern, plain in _LATEX:
        answer = pattern.sub(plain, answer)
    return answer


def last_statement(
    text: str,
    read: Callable[[str], Read | None],
    read_box: Callable[[str], Read | None],
    says: Callable[[str], bool],
    *more: re.Pattern[str],
) -> tuple[int, Read | None] | None:
    """Where the last stated answer begins, and what it says; None if nothing is stated.

    Args:
        read, read_box: give the answer at the beginning of a text, and in a box.
        says: whether the sentence at the beginning of a text has anything in it that could be one.
        more: other patterns whose first group is a box.
    """
    boxed = [m for pattern in (_BOXED, _TAGGED, *more) for m in pattern.finditer(text)]
    last_box = max(boxed, key=lambda m: m.start(), default=None)
    after = last_box.start() if last_box is not None else -1
    for start, end in reversed(list(_statements(text))):
        rest = text[end : end + _WINDOW]
        if start < after:
            break
        if says(from_words(rest)):
            return start, None if TAKEN_BACK.search(text, end) else read(rest)
    if last_box is None:
        return None
    taken_back = TAKEN_BACK.search(text, last_box.end())
    return last_box.start(), None if taken_back else read_box(last_box[1])


def one_question(text: str, says: Callable[[str], bool]) -> str:
    """The text up to where it goes on with a question of its own, if it says anything before."""
    for found in _NEXT_QUESTION.finditer(text):
        if says(text[: found.start()]):
            return text[: found.start()]
    return text


def from_words(text: str) -> str:
    """Without the space and Markdown that it begins with."""
    return text.lstrip(" \t\r\n*_")


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Where each stated answer begins, and where what it says."""
    for m in _STATED.finditer(text):
        sentence = sentence_before(text, m.start())
        end = SENTENCE_END.search(from_words(text[m.end() : m.end() + _WINDOW]))
        asked = end is not None and end[0] == "?"
        if (
            not _OTHER_THAN.search(sentence)
            and not _HYPOTHETICAL.search(sentence)
            and not _EMPTY.match(text, m.end())
            and not asked
        ):
            yield m.start(), m.end()


def sentence_before(text: str, place: int) -> str:
    """What stands before a place in its sentence."""
    return re.split(r"[.;!?\n]", text[max(0, place - 200) : place])[-1]
