"""Reads the letter of an option at the beginning of what a text states.

    Options(["ash", "ant"]).read("(B), because it crawls.", "english")    # 1

A letter that may be a word, a name or a part of something is none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from role_lens.questions.question import LETTERS
from role_lens.scoring.answers import languages
from role_lens.scoring.answers.conclusions import last_sentence
from role_lens.scoring.answers.languages import Tongue
from role_lens.scoring.answers.lines import words
from role_lens.scoring.answers.others import MENTION, names_another
from role_lens.scoring.answers.statements import DECORATION, MARKS, SENTENCE_END, Reader


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
_NEXT_LINE = re.compile(r"[^\n]*\n[\s*_(-]*([A-Z])[*_]*[).:]")
_DENIED = re.compile(r"[\s*_\")—–-]*(?:is|are|was|isn't|isn’t|cannot|can't|wrong)\b")
_SMALL = re.compile(r"(?<![\w'’.])[a-z](?![\w'’])")


@dataclass(frozen=True)
class Options:
    """The options of a question, named by letters."""

    choices: Sequence[str]

    @property
    def letters(self) -> str:
        return LETTERS[: len(self.choices)]

    def reader(self) -> Reader[int]:
        return Reader(self.read, self.read_box, self.says)

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
        choice = words(self.choices[index])
        if choice and f"{words(after)} ".startswith(f"{choice} "):
            listed = _NEXT_LINE.match(after)  # "(D) both A and B", where that is option D
            return None if listed and ord(listed[1]) == ord(letter) + 1 else index
        ends = _ENDS
        if found["small"]:
            ends = _ENDS_WORD if letter in _WORDS else _ENDS_SMALL
        strict = strict or tongue != "english" or bool(found["bare"] or found["small"])
        if strict and (not ends.match(after) or _NAME.match(after)):
            return None
        if _DENIED.match(after):
            return None
        another = names_another(letter, after, self.letters, small=name.islower())
        return None if another else index

    def read_box(self, content: str) -> int | None:
        """The option that a box names."""
        content = content.strip()
        if len(content) == 1:
            return self.read(content.upper(), "english")
        index = self.read(content, "english")
        return self.read(content, "point") if index is None else index

    def read_end(self, rest: str) -> int | None:
        """The option with which a text ends, but for the option's words."""
        sentence, more = last_sentence(rest)
        if _SMALL.match(sentence.lstrip()):
            return None
        index = self.read(sentence, "english", strict=True)
        ends = index is not None and words(more) in ("", words(self.choices[index]))
        return index if ends else None

    def says(self, rest: str) -> bool:
        """Whether the first sentence of a text has a letter that may name an option."""
        end = SENTENCE_END.search(rest)
        sentence = rest[: end.start() if end else None]
        small = set(self.letters) - set(_WORDS)
        if MENTION.search(sentence) or small & {x.upper() for x in _SMALL.findall(sentence)}:
            return True
        return self.read(rest, "english") is not None

    def _is_option(self, letter: str) -> bool:
        """Whether a small letter is itself what another option says."""
        said = [words(choice) for choice in self.choices]
        return letter in said and said.index(letter) != self.letters.find(letter.upper())
