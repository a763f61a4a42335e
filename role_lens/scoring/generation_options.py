"""Holds how answers are written, where questions are scored by generated text.

    evaluate(model, questions, patches, Asking("generate"), generation=Generation("chain"))

Other scorings have no use for it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from role_lens.errors import RoleLensError

Style = Literal["direct", "chain"]

_LENGTH: dict[Style, int] = {"direct": 32, "chain": 512}


@dataclass(frozen=True)
class Generation:
    """How answers are written, where questions are scored by generated text.

    Raises:
        RoleLensError: an unknown style.

    Examples:
        >>> Generation("chain").length
        512
    """

    style: Style = "direct"
    """Ask for the answer alone (`direct`), or to think step by step before it (`chain`: chain of
    thought, Kojima et al. 2022, arXiv 2205.11916)."""
    max_new_tokens: int | None = None
    """Longest answer, in tokens; None for 32 (direct) or 512 (chain)."""
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
        if self.length < 1 or self.batch_size < 1:
            raise RoleLensError(
                f"max_new_tokens and batch_size must be at least 1, got {self.length} and "
                f"{self.batch_size}"
            )
        if not (self.temperature == 0 or 1e-3 <= self.temperature < float("inf")):
            raise RoleLensError(
                f"temperature must be 0 or finite and at least 0.001, got {self.temperature}"
            )

    @property
    def length(self) -> int:
        """Longest answer, in tokens."""
        return _LENGTH[self.style] if self.max_new_tokens is None else self.max_new_tokens
