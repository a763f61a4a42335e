"""The package's own exception. Knows nothing else."""


class RoleLensError(ValueError):
    """An input that can't be used. The message says what came, what was expected and what to do."""


class OutOfMemoryError(RoleLensError):
    """Even the smallest batch doesn't fit into the GPU's memory."""
