"""Decides which token sequences should share a prefix, so that it need be computed only once.

    shared_prefixes([[1, 2, 3], [1, 2, 4]])    # [(0, [0, 1])]: saving two tokens isn't worth it

A group of sequences costs batches of its own, so that it has to save a good deal.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from role_lens._run.tokens import common_prefix_length

# A group has batches of its own, which are less well filled: forming one must save more than this.
_COST_OF_A_GROUP = 256


def shared_prefixes(sequences: Sequence[Sequence[int]]) -> list[tuple[int, list[int]]]:
    """Divide sequences into groups with a common prefix, to leave few tokens to compute.

    A group of n sequences whose first p tokens are the same computes them once and saves
    (n - 1)·p tokens. Of all divisions of the lexicographic order into contiguous groups the best
    is found, by dynamic programming over where they end.

    Returns:
        For each group the length of the shared prefix, always less than the length of its
        shortest sequence, and the indices of its sequences.
    """
    order = sorted(range(len(sequences)), key=lambda i: tuple(sequences[i]))
    ordered = [sequences[i] for i in order]
    n = len(ordered)
    # common[j]: shared tokens of j and j - 1. At least one token of each sequence stays its own.
    own = np.array([len(ids) - 1 for ids in ordered])
    common = np.array([0] + [common_prefix_length(a, b) for a, b in itertools.pairwise(ordered)])
    common = np.minimum(common, np.minimum(own, np.concatenate([[0], own[:-1]])))
    saved = np.zeros(n + 1)  # best for the first j sequences
    first = np.zeros(n + 1, dtype=int)  # where its last group begins
    for end in range(1, n + 1):
        # Groups that begin at end-1, end-2, …, 0: the prefix can only get shorter.
        shortest = np.minimum.accumulate(common[1:end][::-1]) if end > 1 else np.array([], int)
        prefix = np.concatenate([[0], shortest])
        gain = saved[:end][::-1] + np.arange(end) * prefix - _COST_OF_A_GROUP
        best = int(gain.argmax())
        saved[end], first[end] = gain[best], end - 1 - best
    groups = []
    end = n
    while end > 0:
        begin = int(first[end])
        members = order[begin:end]
        length = int(common[begin + 1 : end].min()) if len(members) > 1 else 0
        groups.append((length, sorted(members)))
        end = begin
    return groups[::-1]
