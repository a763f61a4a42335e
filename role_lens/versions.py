"""Gives the versions of the packages that results depend on.

    package_versions()    # {"role-lens": "0.1.0", "transformer-lens": "4.3.0", ...}

They are part of the provenance of vectors, and tell a run from one of other versions.
"""

import importlib.metadata


def package_versions() -> dict[str, str]:
    """Installed versions of this package, TransformerLens, transformers and torch."""
    names = ("role-lens", "transformer-lens", "transformers", "torch")
    return {name: importlib.metadata.version(name) for name in names}
