"""Holds how something is put on the Hugging Face hub.

    push("nurse.safetensors", "user/nurse", PushOptions(private=True))

The command line makes its flags of it.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PushOptions:
    """How something is put on the Hugging Face hub.

    Examples:
        >>> from role_lens.interop import PushOptions
        >>> PushOptions(license="apache-2.0").private
        False
    """

    license: str | None = None
    """Licence, as the hub abbreviates it, such as apache-2.0. Without it that of the model, where
    it is known; a baked model keeps the one of its card."""
    comparison: Path | None = None
    """A run folder of `role-lens compare`, whose verdicts the card then shows (for role vectors; a
    patch has its own in its file)."""
    private: bool = False
    """Make a repository that only its owner sees; one that is there and public is refused."""
    message: str = "Upload from role_lens"
    """Message of the commit."""
