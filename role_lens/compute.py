"""How something is computed: options that change no result.

RoleVectors.fit(model, roles, base, compute=Compute(progress=False))
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Compute:
    """How batches are made and whether progress is shown. Results are the same, up to rounding.

    Example:
        >>> Compute(max_tokens=2048, progress=False)
        Compute(max_tokens=2048, progress=False)
    """

    max_tokens: int | None = None
    """Most tokens in a batch, padding included; None for a number that suits the memory at hand."""
    progress: bool = True
    """Show progress bars."""
