"""Adds the raw direction, coefficient times: activation addition, x + coefficient · d.

It acts on the input of some layers (Turner et al. 2023, arXiv 2308.10248).
"""

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, shifted


def _add(stream: Stream, directions: Directions, values: Values) -> Stream:
    return shifted(stream, values[:, None, None], directions)


KIND = PatchKind(_add, number="coefficient", formula="x + value d", raw=True)
