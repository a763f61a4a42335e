"""Holds the options of a computation that change no result: size of batches, progress bars.

    RoleVectors.fit(model, roles, base, compute=Compute(progress=False))

Every function that may run the model for minutes takes such a record.
"""

from dataclasses import dataclass

from role_lens.checks import whole_number


@dataclass(frozen=True)
class Compute:
    """How a computation is run. Results are the same, up to rounding.

    Examples:
        >>> Compute(max_tokens=2048, progress=False)
        Compute(max_tokens=2048, progress=False)
    """

    max_tokens: int | None = None
    """Most tokens in a batch, padding included; None for a number that suits the memory at hand."""
    progress: bool = True
    """Whether progress bars are shown."""

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            number = whole_number(self.max_tokens, "max_tokens", least=1)
            object.__setattr__(self, "max_tokens", number)
