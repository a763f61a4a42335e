"""Finds open places for prompts: how they begin and how long they are, as in a list of prompts.

    places = Places(load_prompts("builtin"), n=64, seed=0)
    places.wanted()        # Form(opening="How do", least=10, most=13)
    places.take("How do I sharpen a chisel that has been left out in the rain?")    # True

A difference of means holds whatever two lists of prompts differ in. If the prompts of a role begin
like the base prompts and are as long, what is left is their matter.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

N_BANDS = 4
"""Bands of length: a quarter of the prompts in each."""
_LEAST_WIDTH = 3  # of a band, in words
_TWO_WORDS = ("how", "what", "can", "should")  # a first word that says little by itself


@dataclass(frozen=True)
class Form:
    """How a prompt begins, and how many words it may have."""

    opening: str
    least: int
    most: int

    def holds(self, prompt: str) -> bool:
        """Whether a prompt is of this form."""
        same = opening(prompt).casefold() == self.opening.casefold()
        return same and self.least <= n_words(prompt) <= self.most


class Places:
    """As many places as prompts are wanted, each with a form that a prompt of a list has.

    Examples:
        >>> places = Places(["How are you today?", "Describe a cat that sleeps."], n=2)
        >>> places.take("How do you bake bread?"), places.take("How do you do it?")
        (True, False)
        >>> places.wanted().opening
        'Describe'
    """

    def __init__(self, like: Sequence[str], n: int, seed: int = 0) -> None:
        bands = _bands([n_words(prompt) for prompt in like])
        draw = random.Random(seed)
        self.forms = [_form(prompt, bands) for prompt in draw.sample(list(like), len(like))]
        self._open = [self.forms[i % len(self.forms)] for i in range(n)]
        self._turn = 0

    @property
    def n_open(self) -> int:
        """How many are still open."""
        return len(self._open)

    def wanted(self) -> Form:
        """The form of an open place; each in its turn."""
        self._turn += 1
        return self._open[(self._turn - 1) % len(self._open)]

    def take(self, prompt: str) -> bool:
        """Give a prompt an open place of its form, and say whether there was one."""
        for form in self._open:
            if form.holds(prompt):
                self._open.remove(form)
                return True
        return False


def opening(prompt: str) -> str:
    """The first word of a prompt, or the first two where it is one of many that begin alike.

    Examples:
        >>> opening("How do I knit?"), opening("Describe a cat."), opening("Solve: 2 + 2")
        ('How do', 'Describe', 'Solve')
    """
    words = re.findall(r"[^\s:,;.?!]+", prompt)[:2]
    return " ".join(words if words and words[0].casefold() in _TWO_WORDS else words[:1])


def n_words(prompt: str) -> int:
    """How many words a prompt has."""
    return len(prompt.split())


def _bands(lengths: Sequence[int]) -> list[tuple[int, int]]:
    ordered = sorted(lengths)
    parts = [
        ordered[i * len(ordered) // N_BANDS : (i + 1) * len(ordered) // N_BANDS]
        for i in range(N_BANDS)
    ]
    return [_wide_enough(part[0], part[-1]) for part in parts if part]


def _wide_enough(low: int, high: int) -> tuple[int, int]:
    missing = max(0, _LEAST_WIDTH - (high - low))
    return max(1, low - missing // 2), high + missing - missing // 2


def _form(prompt: str, bands: Sequence[tuple[int, int]]) -> Form:
    words = n_words(prompt)
    least, most = next((low, high) for low, high in bands if low <= words <= high)
    return Form(opening(prompt), least, most)
