"""Says which prompts are written for a role, and how they are sifted.

    PromptOptions(n=128, temperature=0.7)

`write_prompts` and `role-lens prompts` take them.
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from role_lens.checks import real_number, set_temperature, whole_number
from role_lens.errors import RoleLensError
from role_lens.prompts import filled_prompts
from role_lens.values import as_list

TASKS = (
    *("Describe", "Explain", "Design", "What is", "How to"),
    *("Analyze", "Compare", "Create", "Solve", "Recommend"),
)
"""How the prompts of arXiv 2502.12055 begin, about a tenth of each role's with each."""
_Fixed = Annotated[tuple[str, ...], tyro.conf.Fixed, tyro.conf.Suppress]


@dataclass(frozen=True)
class PromptOptions:
    """How prompts are written and sifted.

    Raises:
        RoleLensError: an empty text, or a number out of range.

    Examples:
        >>> from role_lens.writing import PromptOptions
        >>> PromptOptions(n=16).most_requests
        128
    """

    n: int = 64
    """How many prompts are wanted."""
    tries: int = 8
    """How many requests are made for each prompt that is wanted, at most, and up to a batch of 16
    more: many prompts are left out."""
    temperature: float = 0.8
    """Temperature of the writer."""
    within: float = 0.5
    """A prompt is kept if the role judge ranks its role among this share of all names. Of a model
    behind an endpoint, those are left out that it takes to be about another role."""
    like: _Fixed | None = None
    """Prompts whose beginnings and lengths are matched. None for the built-in base prompts; an
    empty tuple for the ten kinds of task of arXiv 2502.12055, of 6 to 24 words."""
    persons: _Fixed = ()
    """Descriptions of persons, one of which writes each prompt in its turn; none for the role."""
    seed: int = 0
    """Seed of the forms and of the writer's random numbers."""

    def __post_init__(self) -> None:
        for name, least in (("n", 1), ("tries", 1), ("seed", 0)):
            number = whole_number(getattr(self, name), name, least=least)
            object.__setattr__(self, name, number)
        set_temperature(self)
        object.__setattr__(self, "within", real_number(self.within, "within"))
        for name in ("like", "persons"):
            value = getattr(self, name)
            if value is not None:
                empty = as_list(value) == []
                object.__setattr__(self, name, () if empty else filled_prompts(value, name))
        if not 0 < self.within <= 1:
            raise RoleLensError(f"within must be above 0 and at most 1, got {self.within:g}")

    @property
    def most_requests(self) -> int:
        """How many requests are made at most."""
        return self.n * self.tries
