"""Shows where role vectors are from, without the numbers that are for checks and not for readers.

    readable(vectors.provenance)    # model, versions, hashes of the prompts, …

`role-lens info` and the reports of analyses show it.
"""

from collections.abc import Mapping
from typing import Any


def readable(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of role vectors without its fingerprint, and without those of the vectors that
    they were merged with: each is hundreds of numbers."""
    shown = {key: value for key, value in provenance.items() if key != "fingerprint"}
    if "merged_with" in shown:
        shown["merged_with"] = [readable(other) for other in shown["merged_with"]]
    return shown
