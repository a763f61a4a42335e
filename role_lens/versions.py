"""The versions of what results depend on, for provenance and for telling runs apart.

package_versions()    # {"role-lens": "0.1.0", "transformer-lens": "4.3.0", ...}
"""

import importlib.metadata


def package_versions() -> dict[str, str]:
    """Of this package, TransformerLens, transformers and torch."""
    names = ("role-lens", "transformer-lens", "transformers", "torch")
    return {name: importlib.metadata.version(name) for name in names}
