"""Holds how answers are written, where questions are scored by generated text.

    evaluate(model, questions, patches, Asking("generate"), generation=Generation("chain"))

Other scorings have no use for it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from role_lens.checks import set_temperature, whole_number
from role_lens.errors import RoleLensError

Style = Literal["direct", "chain", "boxed"]

_LENGTH: dict[Style, int] = {"direct": 32, "chain": 512, "boxed": 512}


@dataclass(frozen=True)
class Generation:
    """How answers are written, where questions are scored by generated text.

    Raises:
        RoleLensError: an unknown style, a length or batch size below 1, or a temperature that is
            neither 0 nor finite and at least 0.001.

    Examples:
        >>> Generation("chain").length
        512
    """

    style: Style = "direct"
    """Ask for the answer alone (`direct`), to think step by step before it (`chain`: chain of
    thought, Kojima et al. 2022, arXiv 2205.11916), or to do so and write it into a LaTeX box
    (`boxed`), as mathematics questions are often put."""
    max_new_tokens: int | None = None
    """Longest answer, in tokens; None for 32 (direct) or 512 (chain and boxed)."""
    temperature: float = 0.0
    """0 takes the likeliest token (greedy decoding); else tokens are drawn from softmax(logits /
    temperature)."""
    seed: int = 0
    """Seed of the random numbers. Each question has its own, whatever shares its batch."""
    batch_size: int = 16
    """Most questions in a batch."""

    def __post_init__(self) -> None:
        if self.style not in get_args(Style):
            raise RoleLensError(f"style must be one of {get_args(Style)}, got {self.style!r}")
        set_temperature(self)
        for name, least in (("max_new_tokens", 1), ("batch_size", 1), ("seed", None)):
            value = getattr(self, name)
            if value is not None or name != "max_new_tokens":
                object.__setattr__(self, name, whole_number(value, name, least=least))

    @property
    def length(self) -> int:
        """Longest answer, in tokens."""
        return _LENGTH[self.style] if self.max_new_tokens is None else self.max_new_tokens
