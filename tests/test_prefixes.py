import itertools

from hypothesis import given
from hypothesis import strategies as st

from role_lens.scoring import prefixes
from role_lens.scoring.prefixes import shared_prefixes

SEQUENCES = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5), min_size=1, max_size=6)


def cost(sequences, groups, of_a_group):
    return sum(
        length + sum(len(sequences[i]) - length for i in index) + of_a_group
        for length, index in groups
    )


def divisions(items):
    """All divisions of a list into contiguous parts."""
    for cuts in itertools.product([False, True], repeat=len(items) - 1):
        parts = [[items[0]]]
        for item, cut in zip(items[1:], cuts, strict=True):
            if cut:
                parts.append([])
            parts[-1].append(item)
        yield parts


def longest(sequences, index):
    """Length of the longest common prefix that leaves each sequence a token of its own."""
    if len(index) == 1:
        return 0
    length = 0
    while all(len(sequences[i]) > length + 1 for i in index) and (
        len({sequences[i][length] for i in index}) == 1
    ):
        length += 1
    return length


@given(SEQUENCES, st.integers(0, 6))
def test_as_good_as_the_best_division(sequences, of_a_group):
    prefixes._COST_OF_A_GROUP, before = of_a_group, prefixes._COST_OF_A_GROUP
    try:
        groups = shared_prefixes(sequences)
    finally:
        prefixes._COST_OF_A_GROUP = before
    assert sorted(i for _, index in groups for i in index) == list(range(len(sequences)))
    for length, index in groups:
        assert length == longest(sequences, index)
    best = min(
        cost(sequences, [(longest(sequences, index), index) for index in parts], of_a_group)
        for parts in divisions(sorted(range(len(sequences)), key=lambda i: sequences[i]))
    )
    assert cost(sequences, groups, of_a_group) == best


def test_subjects_with_examples_of_their_own():
    preamble, a, b = [0] * 20, [1] * 300, [2] * 400
    sequences = [preamble + x + [3, i] for i in range(5) for x in (a, b)]
    assert shared_prefixes(sequences) == [(321, [0, 2, 4, 6, 8]), (421, [1, 3, 5, 7, 9])]


def test_identical_sequences_keep_a_token_of_their_own():
    assert shared_prefixes([[1, 2, 3], [1, 2, 3]]) == [(2, [0, 1])]
