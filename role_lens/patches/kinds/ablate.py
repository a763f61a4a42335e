"""Removes the component along the direction: directional ablation, x - (x·u) u.

It acts on every block's input, attention output and MLP output (Arditi et al. 2024, arXiv
2406.11717, section 2.4).
"""

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, projection, shifted


def _ablate(stream: Stream, directions: Directions, values: Values) -> Stream:
    return shifted(stream, -projection(stream, directions), directions)


KIND = PatchKind(_ablate, number=None, everywhere=True)
