"""Holds the options of a computation that change no result: size of batches, progress bars.

    RoleVectors.fit(model, roles, base, compute=Compute(progress=False))

Every function that may run the model for minutes takes such a record.
"""

from dataclasses import dataclass


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
