"""Read the answer that a generated text states: a letter or a number, or nothing at all.

A text that states no answer, or two, is unreadable; it is never guessed. Knows text only.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TypeVar

from role_lens.evaluation.questions import LETTERS

Read = TypeVar("Read")

_LATEX = [
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}"), r" \1"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,!; ]"), ""),
    (re.compile(r"\\([$%])"), r"\1"),
]

# --- where an answer is stated

_THINK = re.compile(r"<(/?)\|?(?:think|thinking|thought|reasoning)\|?>", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_IS = (
    r"[*_]*\s*(?:(?:here|to\s+(?:the|this)\s+question)\s+)?"
    r"(?:(?:is|was|would\s+be|should\s+be|must\s+be|will\s+be|has\s+to\s+be)\b|(?=[:：=]))[*_]*\s*"
    r"(?:(?:therefore|thus|then|clearly|probably|definitely|most\s+likely|likely|simply)\b,?\s*)?"
    r"[:：=]?"
)
_STATED = re.compile(
    rf"\banswer\b{_IS}|\b(?:correct|right|best|final)\s+(?:option|choice|letter)\b{_IS}"
    r"|\bI(?:'d|’d|'ll|’ll|\s+would|\s+will)?\s+(?:choose|pick|select|go\s+with)\b",
    re.IGNORECASE,
)
# Said of an answer that is not the answer.
_OTHER_THAN = re.compile(
    r"(?:\b(?:wrong|incorrect|other|another|second|possible|plausible|tempting|false|no|not)"
    r"|n't|n’t|'s|’s)\s+(?:\w+\s+)?$",
    re.IGNORECASE,
)
# What it is not, and a form that is repeated without an answer in it, state nothing.
_EMPTY = re.compile(r"[\s*_:]*(?:not\b|n't\b|$)|\s*[\"“(]*(?:X|N)\b[\"”).,]")

# --- letters

_MARKS = r"*_`\"'“”‘’$\\{}\[\]"
_DECORATION = rf"[\s{_MARKS}]"
_LETTER = re.compile(
    rf"{_DECORATION}*(?i:(?:the\s+)?(?:option|choice|letter)\b[\s:*_]*)?{_DECORATION}*"
    rf"(?:\(\s*(?P<bracketed>[A-Za-z])\s*\)|(?P<marked>(?<=[*_\"“'‘])[A-Z](?=[*_\"”'’]))|(?P<bare>[A-Z]))"
    rf"[{_MARKS}]*"
)
# After a bare letter: the end, a mark, or a word that gives the reason. "A" may be an article, and
# "C++", "B-cells" or "D = 3" no answer.
_ENDS = re.compile(
    r"\s*$|\s*\n|[.,;:!?)](?:\W|$)|\s+(?:because|since|as|for|which|with|and|or|but|is|not)\b|\s*[/&]"
)
_REASON = re.compile(r"\b(?:because|since|as|for|which|but|not|while|whereas)\b|[.;\n]")
_ANOTHER = re.compile(
    r"(?:\b(?:or|and|possibly|perhaps|maybe|alternatively)\b|[/&,])[\s,]*(?:the\s+|option\s+|choice\s+)*"
    rf"(?:\b(?:or|and|possibly|perhaps|maybe|alternatively)\b[\s,]*)*{_DECORATION}*\(?[A-Z](?![A-Za-z0-9'’])"
)
_NEXT_TO_IT = re.compile(r"[\s).,]*\(?[A-Z][).]")
_JUDGED = re.compile(
    r"(?:^|[.,;:!?\n]\s+)(?:(?:so|but|and|therefore|thus|hence),?\s+)?(?:(?:option|choice|answer)\s+)?"
    r"[*_(\"]*([A-Z])[*_)\"]*\s+(?:is|must\s+be)\s+"
    r"(?:the\s+answer|(?:the\s+)?(?:correct|right|best)(?:\s+(?:answer|option|choice))?)\s*[*_]*(?=[.,;:!\n]|$)",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(r"\b(?:if|neither|none|nor|unless|suppose)\b", re.IGNORECASE)
_LONE = re.compile(r"[\W_]*([A-Z])[\W_]*")
_HEAD = re.compile(r"[*_]*(?:(\()?([A-Z])[*_]*([).:])[*_]*|[*_]+([A-Z])[*_]+)\s*(.*)")

_BRACKETED = re.compile(r"\(([A-Z])\)")
_GOES_ON = re.compile(r"(?:is|are|was|isn't|and|or|can|may|would|does|has)\b")

# --- numbers

_SENTENCE = re.compile(r"[.;](?=\s|$)|\n|\b(?:because|since|which|as)\b")
_LONGEST = 50  # digits of an answer; loops of a model are longer
_NUMBER = re.compile(
    rf"{_DECORATION}*(?:approximately|about|around|roughly|exactly|≈|~)?{_DECORATION}*"
    r"(?:US\$|USD|EUR|GBP|[$£€])?\s*(?P<sign>[-−–+]?)\s*[$£€]?\s*"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?P<power>e[+-]?\d{1,2}\b)?"
    r"(?:\s*/\s*(?P<below>\d+))?"
    r"(?:\s*(?:%|°|°C|km|cm|mm|m|kg|g|mg|l|ml|s|h|hrs?|min|ft|in|lbs?|oz|mph))?(?![\w^√π])"
)
_SCALE = re.compile(
    r"[\s*_]*(?:hundred|thousand|million|billion|trillion|dozen|pi|π|times|squared|cubed)\b"
)
_HASHES = re.compile(r"^####[ \t]*([$£€]?[-−]?[\d,]*\.?\d+[ \t]*%?)\.?[ \t]*$", re.MULTILINE)


def read_letter(text: str, choices: Sequence[str]) -> int | None:
    r"""The choice that a text names as its answer, from 0, or None.

    Read are, the last one first: `\boxed{B}`, "The answer is (B)" and the like, "(B) is correct";
    and where there is none of these, a first or last line that is a letter alone, or a beginning
    such as "B. Paris", if that is choice B and no others are listed too. Reasoning up to
    `</think>` doesn't count, and reasoning without an end is not an answer.

    Args:
        choices: their texts, in the order of their letters.
    """
    letters = LETTERS[: len(choices)]
    answer = _answer_part(text)
    if answer is None:
        return None

    def read(rest: str) -> int | None:
        found = _LETTER.match(rest)
        if found is None:
            return None
        letter = (found["bracketed"] or found["marked"] or found["bare"]).upper()
        after = rest[found.end() :]
        reason = _REASON.search(after)
        if letter not in letters or _NEXT_TO_IT.match(after):
            return None
        if _ANOTHER.search(after[: reason.start() if reason else None]):
            return None
        if found["bare"] and not _ENDS.match(after):
            return None
        return letters.index(letter)

    def read_box(content: str) -> int | None:
        return read(content.strip().upper() if len(content.strip()) == 1 else content)

    stated = _last_statement(answer, read, read_box)
    judged = [
        m
        for m in _JUDGED.finditer(answer)
        if m[1].isupper() and not _CONDITIONAL.search(_sentence_before(answer, m.start(1)))
    ]
    if judged and (stated is None or judged[-1].start() > stated[0]):
        return letters.index(judged[-1][1]) if judged[-1][1] in letters else None
    if stated is not None:
        return stated[1]
    return _read_lines(answer, letters, choices)


def read_number(text: str) -> Fraction | None:
    r"""The number that a text names as its answer, or None.

    Read are, the last one first: `\boxed{42}`, "The answer is 42", `#### 42`; and where there is
    none of these, a last line that is a number alone. Of a calculation it is the result.
    Thousands separators, currency and per cent signs and a unit after the number don't count; a
    second number makes it unreadable.
    """
    answer = _answer_part(text)
    if answer is None:
        return None
    stated = _last_statement(answer, _read_number, _read_number, _HASHES)
    if stated is not None:
        return stated[1]
    lines = [line for line in answer.splitlines() if line.strip()]
    alone = lines and re.fullmatch(r"[^\w.\-−–]*[-−–]?[^\w.]*[\d.,/]*\d[^\w]*", lines[-1])
    return _read_number(lines[-1]) if alone else None


def _read_number(rest: str) -> Fraction | None:
    end = _SENTENCE.search(rest.lstrip())
    rest = rest.lstrip()[: end.start() if end else None]
    rest = re.split(r"[=≈]", rest)[-1]  # of a calculation its result
    found = _NUMBER.match(rest)
    if found is None or len(found["digits"]) > _LONGEST:
        return None
    after = rest[found.end() :]
    if re.search(r"\d", after) or _SCALE.match(after):
        return None
    sign = "-" if found["sign"] in ("-", "−", "–") else ""
    value = Fraction(sign + found["digits"].replace(",", "") + (found["power"] or ""))
    below = int((found["below"] or "1")[:_LONGEST])
    return value / below if below else None


def _read_lines(answer: str, letters: str, choices: Sequence[str]) -> int | None:
    """A letter alone in the last or the first line, or the head of a text that is one choice."""
    lines = [line.strip() for line in answer.strip().splitlines() if line.strip()]
    if not lines:
        return None
    heads = [_HEAD.fullmatch(line) for line in lines]
    named = [(m[2] or m[4]) if m else None for m in heads]
    lone = [m[1] if (m := _LONE.fullmatch(line)) else None for line in lines]
    if len({*lone} - {None}) > 1:
        return None
    if lone[-1] is not None:
        # "C. Paris" and then "D" is a list of the choices that breaks off.
        listed = len(lines) > 1 and named[-2] is not None and ord(named[-2]) == ord(lone[-1]) - 1
        return letters.index(lone[-1]) if lone[-1] in letters and not listed else None
    if len({*named, *_BRACKETED.findall(answer)} - {None, lone[0] or named[0]}) > 0:
        return None
    if lone[0] is not None:
        return letters.index(lone[0]) if lone[0] in letters else None
    first = heads[0]
    letter = named[0]
    if first is None or letter is None or letter not in letters or _GOES_ON.match(first[5]):
        return None
    index = letters.index(letter)
    # "C. elegans" may be a name: with a full stop the words have to be the choice's.
    if first[3] == "." and not first[1]:
        said, choice = (_words(part) for part in (first[5], choices[index]))
        if said and choice and not (said.startswith(choice) or choice.startswith(said)):
            return None
    return index


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _answer_part(text: str) -> str | None:
    """What follows the reasoning, without LaTeX's dress; None if the reasoning has no end."""
    marks = list(_THINK.finditer(text))
    if marks and not marks[-1][1]:
        return None
    answer = text[marks[-1].end() :] if marks else text
    for pattern, plain in _LATEX:
        answer = pattern.sub(plain, answer)
    return answer


def _last_statement(
    text: str,
    read: Callable[[str], Read | None],
    read_box: Callable[[str], Read | None],
    *more: re.Pattern[str],
) -> tuple[int, Read | None] | None:
    """Where the last stated answer begins, and what it says; None if nothing is stated.

    Args:
        read, read_box: give the answer at the beginning of a text, and in a box.
        more: other patterns whose first group is a box.
    """
    boxed = [m for pattern in (_BOXED, _TAGGED, *more) for m in pattern.finditer(text)]
    last_box = max(boxed, key=lambda m: m.start(), default=None)
    last = max(_statements(text), default=None)
    if last_box is None or (last is not None and last[0] > last_box.start()):
        return None if last is None else (last[0], read(text[last[1] :]))
    return last_box.start(), read_box(last_box[1])


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Where each stated answer begins, and where what it says."""
    for m in _STATED.finditer(text):
        before = text[max(0, m.start() - 30) : m.start()]
        if not _OTHER_THAN.search(before) and not _EMPTY.match(text, m.end()):
            yield m.start(), m.end()


def _sentence_before(text: str, place: int) -> str:
    return re.split(r"[.;!?\n]", text[max(0, place - 200) : place])[-1]
