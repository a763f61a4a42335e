"""Removes the component along the direction: directional ablation, x - (x·u) u.

It acts on every block's input and on what its attention and its MLP write (Arditi et al. 2024,
arXiv 2406.11717, section 2.4), after the norms that some models have there. Not all that is written
has a hook point in every model, so it acts where the stream is read too: between attention and MLP,
and after the last block. Nothing then reads a component along the direction.
"""

from role_lens.patches.kind import PatchKind
from role_lens.patches.stream import Directions, Stream, Values, projection, shifted


def _ablate(stream: Stream, directions: Directions, values: Values) -> Stream:
    return shifted(stream, -projection(stream, directions), directions)


KIND = PatchKind(_ablate, number=None, formula="x - (x.u) u", everywhere=True)
