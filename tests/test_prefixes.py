import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from role_lens.scoring.prefixes import shared_prefixes

SEQUENCES = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5), min_size=1, max_size=6)


def cost_of_a_group():
    """How many shared tokens it takes for two sequences to leave a third one, found by trying."""

    def divided(n):
        return len(shared_prefixes([[0] * n + [1], [0] * n + [2], [9]])) == 2

    return next(n for n in itertools.count() if divided(n)) - 1


COST = cost_of_a_group()


def cost(sequences, groups):
    return sum(
        length + sum(len(sequences[i]) - length for i in index) + COST for length, index in groups
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
    some = [sequences[i] for i in index]
    most = min(map(len, some)) - 1
    first, last = min(some), max(some)  # the others are in between
    return next((n for n in range(most) if first[n] != last[n]), most)


@given(SEQUENCES, st.sampled_from([1, 45, 90, 130, 260, 300]))
@settings(deadline=None)
def test_as_good_as_the_best_division(letters, times):
    """Every letter stands for so many equal tokens, which is worth a group or isn't."""
    sequences = [[letter for letter in some for _ in range(times)] for some in letters]
    groups = shared_prefixes(sequences)
    assert sorted(i for _, index in groups for i in index) == list(range(len(sequences)))
    for length, index in groups:
        assert length == longest(sequences, index)
    best = min(
        cost(sequences, [(longest(sequences, index), index) for index in parts])
        for parts in divisions(sorted(range(len(sequences)), key=lambda i: sequences[i]))
    )
    assert cost(sequences, groups) == best


def test_a_group_has_to_be_worth_its_batches():
    assert 2 < COST < 1000
    assert shared_prefixes([[1, 2, 3], [1, 2, 4], [9]]) == [(0, [0, 1, 2])]


def test_subjects_with_examples_of_their_own():
    preamble, a, b = [0] * 20, [1] * 300, [2] * 400
    sequences = [preamble + x + [3, i] for i in range(5) for x in (a, b)]
    assert shared_prefixes(sequences) == [(321, [0, 2, 4, 6, 8]), (421, [1, 3, 5, 7, 9])]


def test_identical_sequences_keep_a_token_of_their_own():
    assert shared_prefixes([[1, 2, 3], [1, 2, 3]]) == [(2, [0, 1])]
