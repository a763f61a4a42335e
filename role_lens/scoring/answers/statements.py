"""Finds where a generated text states its answer.

    last_statement(text, reader)

What is said there is read by the readers of letters and of numbers.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Generic, TypeVar

from role_lens.scoring.answers import languages
from role_lens.scoring.answers.languages import Tongue
from role_lens.scoring.answers.plain_characters import in_plain_characters
from role_lens.scoring.answers.records import BETWEEN, tagged

Read = TypeVar("Read")

MARKS = r"*_`\"'“”‘’„«»「」『』【】《》〈〉$\\{}\[\]"
DECORATION = rf"[\s{MARKS}]"
"""Marks around an answer: Markdown, quotes, brackets, LaTeX."""
LONGEST_LINE = 200
"""Characters of a line that is a letter or a number alone."""
_LONGEST_TEXT = 4000  # characters that are read, the last ones; loops of a model are longer

# --- what is taken off before reading

_THINK = re.compile(r"<(/?)\|?(?:think|thinking|thought|reasoning)\|?>", re.IGNORECASE)
CUT = "\ufdd0"
"""Follows a last word that may be half of one: "1" of "18", "B" of "Berlin". Not a character, so
that no text has it of its own."""
# Models write runs of these, which would be tried in every division.
_SPACES, _BLANK_LINES = re.compile(r"[^\S\n]+"), re.compile(r"\n\s*\n\s*")
_MAY_GO_ON = re.compile(r"(?:[^\W_]|,|\d\.)$")

# --- where an answer is stated

_BOXED = re.compile(r"\\(?:f?boxed|fbox)\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_TAGGED = re.compile(
    r"<(?P<tag>(?:final_?|correct_?)?answer)>((?:(?!<\w{0,8}answer>).)*?)</(?P=tag)>",
    re.IGNORECASE | re.DOTALL,
)
# Between two boxes that are one answer: "\boxed{A} or \boxed{B}".
_JOINED = re.compile(rf"[\W_]*(?:(?:or|and|{'|'.join(languages.OR)})(?!\w)[\W_]*)?")
_TEMPLATE = re.compile(r"[\W_]*[XN]?[\W_]*")
_ADVERB = (
    r"(?:therefore|thus|then|hence|clearly|definitely|certainly|obviously|indeed|actually|simply"
    r"|just"
    r"|(?:most\s+)?(?:likely|probably))\b,?\s*"
)
_IS = (
    r"[*_\"'”’]*\s*(?:(?:here|(?:to|for)\s+(?:the|this)\s+(?:question|problem))\s+)?"
    rf"(?:,\s*{_ADVERB})?"
    r"(?:(?:is|was|(?:would|should|must|will)\s+(?:then\s+|therefore\s+|thus\s+)?be|has\s+to\s+be"
    r"|(?:seems|appears)\s+to\s+be)\b|(?=[:：=\n])|[-=]>|[→⇒—]|\s[-–](?=\s*[*_(]*[A-Z]\b))[*_]*\s*"
    rf"(?:{_ADVERB})?"
    r"(?:=>|[:：=])?(?:\s*\.\.\.)?"
)
_STATED = re.compile(
    r"(?:\b|(?<=__)|(?<=(?<!\w)_))(?:(?:final|correct|best)_)?(?:answer|response"
    rf"|ans)\b(?:\s+(?:choice|option)\b)?{_IS}"
    r"|\b(?:correct|right|best|final|selected|chosen)\s+(?:option|choice|letter|one"
    rf"|selection)\b{_IS}"
    rf"|\bonly\s+(?:option|choice|one)\s+(?:left|remaining)\b{_IS}"
    rf"|\bmy\s+(?:choice|pick|selection|guess)\b{_IS}"
    r"|\bI(?:['’]d|['’]ll|\s+would|\s+will|(?:['’]m|\s+am)\s+going\s+to)?"
    r"\s+(?:choose|pick|select|go\s+(?:with|for)|opt\s+for)\b"
    r"|\bI(?:['’]d|\s+would)\s+(?:say|answer)\b|\bI(?:['’]m|\s+am)\s+going\s+with\b"
    r"|\b(?:I\s+(?:think|believe)\s+)(?:that\s+)?it(?:['’]s|\s+is)\b|\b(?:let['’]s|we['’]ll"
    r"|we)\s+go\s+with\b",
    re.IGNORECASE,
)
# Said of an answer that is not the answer, in the line before it.
_OTHER_THAN = re.compile(
    r"(?:\b(?:wrong|incorrect|other|another|alternative|an|one|any|each|second|first|previous"
    r"|initial|your|possible|plausible"
    r"|tempting|common|typical|worst|least\s+likely|false|no|not)|n't|n’t|'s|’s)"
    r"[ \t]+(?:\w+[ \t]+)?$",
    re.IGNORECASE,
)
# "I don't think that the", "It is not true that the": denied from further away, unless one of these
# words begins another clause.
_SAME_CLAUSE = (
    r"(?: (?!(?:so|and|but|therefore|thus|hence|then|because|since|as|which|while|meaning|means"
    r"|is|are|was|gives?|we|I)\b)[\w'’]+)"
)
_TO_THE_END = r"[\s*_\"“'‘$(]*$"
_DENIED_BEFORE = re.compile(
    r"(?:(?:n['’]t|\b(?:not|never|no|nothing|nobody|hardly|far from|disagrees?|den(?:y|ies)"
    rf"|rejects?))\b(?! (?:only|hard|difficult|surprising|question|wonder)\b){_SAME_CLAUSE}{{0,4}}"
    r" (?:that|think(?:s|ing)?|believes?|say(?:s|ing)?|said|mean|feel|know|see|tell|guess|suppose"
    r"|claims?|agree|accept|conclude|imply|suggest|indicate|follow|show|prove|sure|certain|convinced"
    r"|clear|true|(?<=no )(?:way|chance|reason))\b"
    r"|\bit(?: (?:is|was|would be)|['’]s) (?:false|untrue|wrong|incorrect|unlikely|impossible"
    rf"|a mistake)\b){_SAME_CLAUSE}{{0,5}}(?: is| would be)?{_TO_THE_END}"
    rf"|(?:\bnot|n['’]t){_TO_THE_END}",
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
    rf"|double[-\s]?check|re-?check|hold\s+on|scratch\s+that)\b|{languages.TAKEN_BACK}",
    re.IGNORECASE,
)
# Where a model goes on with a question of its own.
_NEXT_QUESTION = re.compile(
    rf"\n[ \t#*_]*(?:Question|Q|(?i:{languages.NEXT_QUESTION}))(?!\w)[ \t]*\d*[ \t]*[*_]*[:.]"
)
# What it is not, and a form that is repeated without an answer in it, state nothing.
_EMPTY = re.compile(
    r"[\s*_:]*(?:not\b|n't\b|$|(?:correct|right|wrong|incorrect|reasonable|consistent|supported"
    r"|given"
    r"|based|derived|obtained|found)\b)|\s*[\"“(]*(?:X|N)\b[\"”).,]"
)
_WINDOW = 400  # characters in which an answer is looked for
SENTENCE_END = re.compile(r"[.;!?](?=\s|$)|\n\s*\n")


class Reader(ABC, Generic[Read]):
    """How answers of one kind are read."""

    mention: ClassVar[re.Pattern[str]]
    """What could be an answer."""
    boxes: ClassVar[tuple[re.Pattern[str], ...]] = ()
    """Further patterns whose last group is a box."""
    leaves: ClassVar[bool]
    """Whether "This leaves" concludes; of numbers it may be one more step."""

    @abstractmethod
    def read(self, rest: str, tongue: Tongue) -> Read | None:
        """The answer at the beginning of a text, stated in English or not."""

    @abstractmethod
    def read_box(self, content: str) -> Read | None:
        """The answer in a box."""

    @abstractmethod
    def read_lines(self, answer: str) -> Read | None:
        """The answer that a line of a text is."""

    @abstractmethod
    def read_end(self, sentence: str, more: str) -> Read | None:
        """The answer that a sentence is, if no more follows than its own words."""

    def last_called_right(self, answer: str, *, since: int) -> tuple[int, Read | None] | None:
        """Where, after a place, an answer is called right for the last time, and which."""
        return None

    def says(self, rest: str) -> bool:
        """Whether the first sentence of a text has anything in it that could be an answer."""
        return self.mention.search(first_sentence(rest)) is not None


def answer_part(text: str, truncated: bool) -> str | None:
    """What follows the reasoning, plainly written, with records as tags, and with `CUT` behind a
    last word that may be half of one; None if the reasoning has no end."""
    marks = list(_THINK.finditer(text))
    if marks and not marks[-1][1]:
        return None
    answer = (text[marks[-1].end() :] if marks else text).strip()[-_LONGEST_TEXT:]
    if truncated and len(answer.split(maxsplit=1)) > 1 and _MAY_GO_ON.search(answer):
        answer += CUT
    answer = _SPACES.sub(" ", in_plain_characters(tagged(answer)))
    return _BLANK_LINES.sub("\n\n", answer).strip()


def last_statement(text: str, reader: Reader[Read]) -> tuple[int, Read | None] | None:
    """Where the last stated answer begins, and what it says; None if nothing is stated."""
    boxes = [m for pattern in (_BOXED, _TAGGED, *reader.boxes) for m in pattern.finditer(text)]
    boxes = sorted((m for m in boxes if _says_something(m)), key=lambda m: m.start())
    after = boxes[-1].end() if boxes else -1
    for start, end, tongue in _statements(text):
        rest = text[end : end + _WINDOW]
        if start < after:
            break
        if reader.says(from_words(rest)):
            return start, None if TAKEN_BACK.search(text, end) else reader.read(rest, tongue)
    if not boxes:
        return None
    *before, last = boxes
    joined = before and _JOINED.fullmatch(text, before[-1].end(), last.start())
    if TAKEN_BACK.search(text, after) or (joined and before[-1][0] != last[0]):
        return last.start(), None
    return last.start(), _in_box(last[last.lastindex or 0], reader)


def _says_something(box: re.Match[str]) -> bool:
    """Whether a box isn't a form to fill in, nor denied."""
    if _TEMPLATE.fullmatch(box[box.lastindex or 0]):
        return False
    return not _DENIED_BEFORE.search(sentence_before(box.string, box.start()))


def _in_box(content: str, reader: Reader[Read]) -> Read | None:
    """What a box says; where it has several fields, what all that say something agree on."""
    parts = content.split(BETWEEN)
    read = []
    for part in parts:
        stated = last_statement(part, reader)
        if len(parts) == 1 or reader.says(part) or stated is not None:
            read.append(stated[1] if stated is not None else reader.read_box(part))
    return read[0] if read and all(value == read[0] for value in read) else None


def one_question(text: str, mention: re.Pattern[str]) -> str:
    """The text up to where it asks a question of its own, if it mentions an answer before."""
    for found in _NEXT_QUESTION.finditer(text):
        if mention.search(text, 0, found.start()):
            return text[: found.start()].rstrip()
    return text


def from_words(text: str) -> str:
    """Without the space and Markdown that it begins with."""
    return text.lstrip(" \t\r\n*_")


def _statements(text: str) -> Iterator[tuple[int, int, Tongue]]:
    """Where each stated answer begins, where what it says, and in which language; last first."""
    english = list(_STATED.finditer(text))
    found: list[tuple[re.Match[str], Tongue]] = [(m, "english") for m in english]
    for m in languages.STATED.finditer(text):
        if not any(e.start() < m.end() and m.start() < e.end() for e in english):
            found.append((m, languages.tongue(m[0])))
    for m, tongue in sorted(found, key=lambda one: -one[0].start()):
        sentence = sentence_before(text, m.start())
        if tongue == "english":
            sure = not (_OTHER_THAN.search(sentence) or _DENIED_BEFORE.search(sentence))
        else:
            sure = languages.is_sure(sentence)
        if not sure or _HYPOTHETICAL.search(sentence) or _EMPTY.match(text, m.end()):
            continue
        end = SENTENCE_END.search(from_words(text[m.end() : m.end() + _WINDOW]))
        if end is None or end[0] != "?":
            yield m.start(), m.end(), tongue


def first_sentence(text: str) -> str:
    """The sentence that a text begins with."""
    return SENTENCE_END.split(text, maxsplit=1)[0]


def sentence_before(text: str, place: int) -> str:
    """What stands before a place in its sentence."""
    return re.split(r"[.;!?\n]", text[max(0, place - 200) : place])[-1]
