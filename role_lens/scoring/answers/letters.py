"""Reads the letter that a generated text states as its answer, or nothing at all.

    read_letter("The answer is (B).", ["ash", "ant"])    # 1

A text that states no answer, or two, is unreadable; it is never guessed.
"""

import re
from collections.abc import Sequence

from role_lens.questions.question import LETTERS
from role_lens.scoring.answers.statements import (
    CUT,
    DECORATION,
    MARKS,
    SENTENCE_END,
    TAKEN_BACK,
    answer_part,
    last_statement,
    one_question,
    sentence_before,
)

_LETTER = re.compile(
    rf"{DECORATION}*(?i:(?:the\s+)?(?:option|choice|letter)\b[\s:*_]*)?{DECORATION}*"
    rf"(?:\(\s*[*_]*(?P<bracketed>[A-Za-z])[*_]*\s*\)"
    rf"|(?P<marked>(?<=[*_\"“'‘])[A-Z](?=[*_\"”'’]))|(?P<bare>[A-Z]))"
    rf"[{MARKS}]*"
)
# After a bare letter: the end, a mark, or a word that gives the reason. "A" may be an article, and
# "C++", "B-cells" or "D = 3" no answer.
_ENDS = re.compile(
    r"\s*$|\s*\n|\s*[.,;:!?)](?:\W|$)|\s+[-–—(]|\s*[/&]"
    r"|\s+(?:because|since|as|for|which|with|and|or|but|not|rather|instead|if)\b"
)
_DENIED = re.compile(r"[\s*_\")]*(?:is|are|was|isn't|isn’t|cannot|can't)\b")
_REASON = re.compile(
    r"\b(?:because|since|(?<!well\s)as(?!\s+well)|for|which|but|not|while|whereas|rather|instead)\b"
)
# Where a text was cut off before the other letter.
_OR_WHAT = re.compile(
    rf"(?:\b(?:or|and|nor)|[/&,])[\s*_(]*\w*{CUT}|\b(?:o|or|a|an|and|n|no|nor){CUT}"
)
_MENTION = re.compile(r"(?<!\w)[A-Z](?!\w)|\([*_]*[a-z][*_]*\)")
_LETTER_TOKEN = re.compile(r"(?<![\w'’.])([A-Z])(?![\w'’+]|-\w)")
_JUDGED = re.compile(
    r"(?:^|[.,;:!?]\s+|\n\s*)(?:[-*]\s+)?(?i:(?:so|but|and|therefore|thus|hence|only),?\s+)?"
    r"[*_(\"]*(?i:(?:option|choice|answer)\s+)?"
    r"[*_(\"]*([A-Z])[*_)\"]*\s+(?:is|must\s+be)\s+"
    r"(?:the\s+answer|(?:the\s+)?(?:correct|right|best)(?:\s+(?:answer|option|choice))?)"
    r"\s*[*_]*(?=[.,;:!\n]|$)"
)
_CONDITIONAL = re.compile(r"\b(?:if|neither|none|nor|unless|suppose|whether)\b", re.IGNORECASE)
_LONE = re.compile(r"[\W_]*(?:(?i:option|choice|answer|ans)[\W_]+)?([A-Z])[\W_]*")
_HEAD = re.compile(r"[-*_]*\s*(?:(\()?([A-Z])[*_]*([).:])[*_]*|[*_]+([A-Z])[*_]+)\s*(.*)")
_BRACKETED = re.compile(r"\(([A-Z])\)")
_REJECTED = re.compile(r"\s+(?:(?:is|are|was)\s+)?(?:not|isn t|wrong|incorrect|false)\b")
_GOES_ON = re.compile(r"(?:is|are|was|isn't|and|or|can|may|would|does|has)\b")


def read_letter(text: str, choices: Sequence[str], *, truncated: bool = False) -> int | None:
    r"""Read which option a text names as its answer: its index from 0, or None.

    These forms are read, of several the last one: `\boxed{B}`, "The answer is (B)" and the like,
    and "(B) is correct". Where there is none of these, a first or last line that is a letter alone
    is read, or a beginning such as "B. Paris" if that is option B and no others are listed too.
    Reasoning up to `</think>` doesn't count. The result is None for reasoning without an end, for
    an answer that is taken back ("Wait, …"), and for the answer to a further question that the
    text goes on with.

    Args:
        choices: texts of the options, in the order of their letters.
        truncated: whether the limit of tokens ended the text, so that its last word may be half of
            one.

    Examples:
        >>> from role_lens.scoring import read_letter
        >>> read_letter("The answer is (B).", ["ash", "ant"])
        1
        >>> read_letter("Either A or B.", ["ash", "ant"]) is None
        True
    """
    letters = LETTERS[: len(choices)]
    answer = answer_part(text, truncated)
    if answer is None:
        return None
    answer = one_question(answer, lambda part: _MENTION.search(part) is not None)

    def read(rest: str) -> int | None:
        found = _LETTER.match(rest)
        if found is None:
            return None
        letter = (found["bracketed"] or found["marked"] or found["bare"]).upper()
        if letter not in letters:
            return None
        index, after = letters.index(letter), rest[found.end() :]
        said, choice = _words(after), _words(choices[index])
        if choice and f"{said} ".startswith(f"{choice} "):
            return index  # "(D) both A and B", where that is option D
        if (found["bare"] and not _ENDS.match(after)) or _DENIED.match(after):
            return None
        return None if _names_another(letter, after, letters) else index

    def read_box(content: str) -> int | None:
        return read(content.strip().upper() if len(content.strip()) == 1 else content)

    def says(rest: str) -> bool:
        end = SENTENCE_END.search(rest)
        return _MENTION.search(rest[: end.start() if end else None]) is not None

    stated = last_statement(answer, read, read_box, says)
    judged = [
        m
        for m in _JUDGED.finditer(answer)
        if not _CONDITIONAL.search(sentence_before(answer, m.start(1)))
    ]
    if judged and (stated is None or judged[-1].start() > stated[0]):
        if TAKEN_BACK.search(answer, judged[-1].end()):
            return None
        several = {m[1] for m in judged if stated is None or m.start() > stated[0]}
        letter = judged[-1][1]
        return letters.index(letter) if letter in letters and len(several) == 1 else None
    if stated is not None:
        return stated[1]
    return _read_lines(answer, letters, choices)


def _names_another(letter: str, after: str, letters: str) -> bool:
    """Whether what follows a letter names another one, or makes it depend on something."""
    end, reason = SENTENCE_END.search(after), _REASON.search(after)
    ends = [found.start() for found in (end, reason) if found]
    sentence = after[: min(ends)] if ends else after
    if re.search(r"\b(?:if|unless|otherwise)\b", sentence) or _OR_WHAT.search(sentence):
        return True
    return any(token in letters and token != letter for token in _LETTER_TOKEN.findall(sentence))


def _read_lines(answer: str, letters: str, choices: Sequence[str]) -> int | None:
    """A letter alone in the last or the first line, or at the head of a text that is one option."""
    lines = [line.strip() for line in answer.strip().splitlines() if line.strip()]
    if not lines:
        return None
    heads = [_HEAD.fullmatch(line) for line in lines]
    named = [(m[2] or m[4]) if m else None for m in heads]
    lone = [m[1] if (m := _LONE.fullmatch(line)) and CUT not in line else None for line in lines]
    if len({*lone} - {None}) > 1 or TAKEN_BACK.search(answer):
        return None
    if lone[-1] is not None:
        # "C. Paris" and then "D" is a list of the options that breaks off.
        listed = len(lines) > 1 and named[-2] is not None and ord(named[-2]) == ord(lone[-1]) - 1
        return letters.index(lone[-1]) if lone[-1] in letters and not listed else None
    if {*named, *_BRACKETED.findall(answer)} - {None, lone[0] or named[0]}:
        return None
    if lone[0] is not None:
        return letters.index(lone[0]) if lone[0] in letters else None
    letter = named[0]
    if heads[0] is None or letter is None or letter not in letters:
        return None
    index = letters.index(letter)
    said, choice = _words(heads[0][5]), _words(choices[index])
    if said and choice and (said.startswith(choice) or choice.startswith(said)):
        return None if _REJECTED.match(said[len(choice) :]) else index
    if _GOES_ON.match(heads[0][5]):
        return None
    # "C. elegans" may be a name, and "A:" begin an answer: then the words have to be the option's.
    closed = heads[0][1] or heads[0][3] not in (".", ":")
    return index if closed or not said else None


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
