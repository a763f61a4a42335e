"""Holds how a file of another program's directions is read.

    import_vectors(model, "happy.npz", ImportOptions(convention="output"))

The command line makes its flags of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Convention = Literal["input", "output"]
"""Whether a layer's number stands for what enters its block, as here, or for what leaves it."""


@dataclass(frozen=True)
class ImportOptions:
    """How a file of directions is read.

    Examples:
        >>> from role_lens.interop import ImportOptions
        >>> ImportOptions(role="happy", layer_map={"early": 3}).convention is None
        True
    """

    role: str | None = None
    """The name of the role, where the file holds one; None for the one that the file gives, or its
    own name."""
    layer_map: Mapping[str, int] = field(default_factory=dict)
    """Name of an array in the file -> the layer whose input it is added to, for plain files."""
    convention: Convention | None = None
    """What layer numbers mean in the file: the block's input or its output; None for what the
    format says. Plain files with numbers for names need it."""
    rows: tuple[int, ...] = ()
    """Which latents of an SAE."""
