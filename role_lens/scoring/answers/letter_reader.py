"""Reads the letter of an option at the beginning of what a text states.

    LetterReader(["ash", "ant"]).read("(B), because it crawls.", "english")    # 1

A letter that may be a word, a name or a part of something is none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from role_lens.questions.question import LETTERS
from role_lens.scoring.answers import languages
from role_lens.scoring.answers.called_right import last_called_right
from role_lens.scoring.answers.languages import Tongue
from role_lens.scoring.answers.lines import read_lines
from role_lens.scoring.answers.option_words import after_words, denied, words
from role_lens.scoring.answers.second_letter import MENTION, names_another
from role_lens.scoring.answers.statements import DECORATION, MARKS, Reader, first_sentence


def _letter(before: str) -> re.Pattern[str]:
    return re.compile(
        rf"{DECORATION}*(?i:{before}){DECORATION}*"
        rf"(?:\(\s*[*_]*(?P<bracketed>[A-Za-z])[*_]*\s*\)"
        rf"|(?P<marked>(?<=[*_\"“'‘])[A-Z](?=[*_\"”'’]))|(?P<bare>[A-Z])|(?P<small>[a-z]))"
        rf"[{MARKS}]*"
    )


_OPTION = r"(?:(?:the\s+)?(?:option|choice|letter|answer|alternative)\b[\s:*_]*)?"
_ENGLISH, _OTHER = _letter(_OPTION), _letter(languages.OPTION)
# After a bare letter: the end, a mark, or a word that gives the reason. "A" may be an article, and
# "C++", "B-cells" or "D = 3" no answer.
_ENDS = re.compile(
    r"\s*$|\s*\n|\s*[.,;:!?)](?:\W|$)|\s+[-–—(]|—|\s*[/&|]"
    r"|\s+(?:because|since|as|for|which|with|and|or|but|not|rather|instead|if)\b"
    rf"|\s+(?:{languages.BECAUSE})(?!\w)"
)
# After a small letter, and after one that is a word of its own, as "a" is.
_ENDS_SMALL = re.compile(r"\s*$|\s*[.!,;:)](?:\s|$)|\s*\n|\s+[-–—(]|—|\s+(?:because|since)\b")
_ENDS_WORD = re.compile(r"\s*$|\s*[.!)](?:\s|$)")
_WORDS = "AEIOUY"  # in one language or another
# "C. elegans" and "D. H. Lawrence" are names.
_NAME = re.compile(
    r"\.[ \t]+(?:[A-Z]\."
    r"|(?!(?:because|since|as|it|the|this|that|which|so|and|but|for|if|in|i)\b)[a-z])"
)
_NEXT_LABEL = re.compile(r"[^\n]*\n[\s*_(-]*([A-Z])[*_]*[).:]")
_DENIED = re.compile(r"[\s*_\")—–-]*(?:is|are|was|isn't|isn’t|cannot|can't|wrong)\b")
_SMALL = re.compile(r"(?<![\w'’.])[a-z](?![\w'’])")


@dataclass(frozen=True)
class LetterReader(Reader[int]):
    """Reads the letters that name the options of a question, as their indices."""

    choices: Sequence[str]

    mention = MENTION
    leaves = True

    @property
    def letters(self) -> str:
        return LETTERS[: len(self.choices)]

    def read(self, rest: str, tongue: Tongue, *, strict: bool = False) -> int | None:
        """The option that a text begins with.

        Args:
            strict: whether a letter in brackets needs an end, too, as other letters do.
        """
        found = (_ENGLISH if tongue == "english" else _OTHER).match(rest)
        if found is None:
            return None
        name = found["bracketed"] or found["marked"] or found["bare"] or found["small"]
        letter, after = name.upper(), rest[found.end() :]
        if letter not in self.letters or (found["small"] and self._is_option(name)):
            return None
        index = self.letters.index(letter)
        if tongue != "english" and (tail := languages.TAIL.match(after)):
            after = after[tail.end() :]
        more = after_words(after, words(self.choices[index]))
        if more is not None:  # "(D) both A and B", where that is option D
            listed = _NEXT_LABEL.match(after)
            if denied(more) or (listed and ord(listed[1]) == ord(letter) + 1):
                return None
            after = more
        else:
            ends = _ENDS
            if found["small"]:
                ends = _ENDS_WORD if letter in _WORDS else _ENDS_SMALL
            strict = strict or tongue != "english" or bool(found["bare"] or found["small"])
            if _DENIED.match(after) or (strict and (not ends.match(after) or _NAME.match(after))):
                return None
        another = names_another(letter, after, self.letters, small=name.islower())
        return None if another else index

    def read_box(self, content: str) -> int | None:
        content = content.strip()
        if len(content) == 1:
            return self.read(content.upper(), "english")
        index = self.read(content, "english")
        return self.read(content, "point") if index is None else index

    def read_lines(self, answer: str) -> int | None:
        return read_lines(answer, self.letters, self.choices)

    def read_end(self, sentence: str, more: str) -> int | None:
        if _SMALL.match(sentence.lstrip()):
            return None
        index = self.read(sentence, "english", strict=True)
        ends = index is not None and words(more) in ("", words(self.choices[index]))
        return index if ends else None

    def last_called_right(self, answer: str, *, since: int) -> tuple[int, int | None] | None:
        return last_called_right(answer, self.letters, since=since)

    def says(self, rest: str) -> bool:
        small = set(self.letters) - set(_WORDS)
        if small & {letter.upper() for letter in _SMALL.findall(first_sentence(rest))}:
            return True
        return super().says(rest) or self.read(rest, "english") is not None

    def _is_option(self, letter: str) -> bool:
        """Whether a small letter is itself what another option says."""
        said = [words(choice) for choice in self.choices]
        return letter in said and said.index(letter) != self.letters.find(letter.upper())
