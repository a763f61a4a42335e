"""Lays questions out in segments of tokens, so that what they share is computed once.

    lay_out(model, items, budget)[0].batches

A shared prefix (chat preamble, examples) is followed by batches of questions, and these by those
options that have several tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from role_lens._run.budget import Budget
from role_lens._run.tokens import pad_right
from role_lens.models import Model, has_sliding_window
from role_lens.scoring.items import Item
from role_lens.scoring.prefixes import shared_prefixes


@dataclass(eq=False)
class Segment:
    """Token rows, each following a row of another segment, and where the base pass stands."""

    tokens: Int[Tensor, "row pos"]
    mask: Int[Tensor, "row pos"]
    """Padding comes last, where no token of its row looks."""
    parent: Int[Tensor, " row"]
    offset: int
    """Columns before this segment's first."""
    prompt_end: Int[Tensor, " row"]
    """First column after each row's prompt, counted from the first column of all."""
    spots: Int[Tensor, "spot row_column"]
    """Where the segment is read: row and column."""
    targets: Int[Tensor, "target spot_item_choice_token"]
    """Which token is scored at which spot, and for which option of which question."""
    resid: Float[Tensor, "row pos d_model"] | None = None
    """Unpatched residual stream entering the next layer, on the CPU; None at layer 0."""


@dataclass(frozen=True, eq=False)
class QuestionBatch:
    """Questions that are run together, after one shared prefix."""

    question: Segment
    rest: Segment | None
    """Options of several tokens, without their last token: each row follows the row of its
    question."""

    @property
    def n_tokens(self) -> int:
        """Tokens that are computed for each candidate, padding included."""
        rest = self.rest.tokens.numel() if self.rest is not None else 0
        return self.question.tokens.numel() + rest


@dataclass(frozen=True, eq=False)
class Group:
    """Questions that begin with the same tokens, their prefix."""

    prefix: Segment | None
    batches: list[QuestionBatch]


def lay_out(model: Model, items: Sequence[Item], budget: Budget) -> list[Group]:
    """Groups of questions with a common prefix, in batches of like length, longest first."""
    # A sliding window counts columns: padding between a question and its options would shift it,
    # so there only questions of one length share a batch.
    even = has_sliding_window(model)
    groups = []
    for length, index in shared_prefixes([item.prompt for item in items]):
        prefix = None
        if length:
            tokens = items[index[0]].prompt[:length]
            prefix = _segment(model, [tokens], [0], 0, [length + 1])  # the prompt goes on after it
        # Longest first: where memory doesn't suffice that shows at once.
        order = sorted(index, key=lambda i: (-len(items[i].prompt), i))
        batches = []
        of_these = [items[i] for i in order]
        for size in _sizes(of_these, length, budget, model.cfg.n_ctx, even=even):
            batches.append(_batch(model, items, order[:size], length))
            order = order[size:]
        groups.append(Group(prefix, batches))
    return groups


def _sizes(
    items: Sequence[Item], length: int, budget: Budget, n_ctx: int, *, even: bool
) -> list[int]:
    """Numbers of consecutive questions to put in a batch, for the fewest tokens with padding.

    By dynamic programming from the end, over where a batch that begins at each question stops.
    """
    best = [(0, 0)] * (len(items) + 1)  # tokens from this question on, and its batch's size
    for start in reversed(range(len(items))):
        width = len(items[start].prompt) - length
        n_rests = rest_width = 0
        options = []
        for size, item in enumerate(items[start:], start=1):
            rests = [len(tokens) - 1 for tokens in item.continuations if len(tokens) > 1]
            n_rests, rest_width = n_rests + len(rests), max([rest_width, *rests])
            tokens = size * width + n_rests * rest_width
            uneven = even and len(item.prompt) - length < width
            # Padding has positions too, and there may be no embedding for one beyond the context.
            too_wide = length + width + rest_width > n_ctx
            if size > 1 and (tokens > budget.tokens or uneven or too_wide):
                break
            options.append((tokens + budget.of_a_batch + best[start + size][0], size))
        best[start] = min(options)
    sizes: list[int] = []
    while sum(sizes) < len(items):
        sizes.append(best[sum(sizes)][1])
    return sizes


def _batch(model: Model, items: Sequence[Item], index: list[int], length: int) -> QuestionBatch:
    prompts = [items[i].prompt for i in index]
    spots = [(row, len(prompt) - length - 1) for row, prompt in enumerate(prompts)]
    targets = [
        (row, i, choice, tokens[0])
        for row, i in enumerate(index)
        for choice, tokens in enumerate(items[i].continuations)
    ]
    question = _segment(
        model,
        [prompt[length:] for prompt in prompts],
        [0] * len(index),
        length,
        [len(prompt) for prompt in prompts],
        spots,
        targets,
    )
    rests: list[tuple[int, ...]] = []
    parents: list[int] = []
    spots, targets = [], []
    for row, i in enumerate(index):
        for choice, tokens in enumerate(items[i].continuations):
            if len(tokens) > 1:
                for column, token in enumerate(tokens[1:]):
                    targets.append((len(spots), i, choice, token))
                    spots.append((len(rests), column))
                rests.append(tokens[:-1])
                parents.append(row)
    if not rests:
        return QuestionBatch(question, None)
    offset = length + question.tokens.shape[1]
    ends = [offset] * len(rests)
    return QuestionBatch(question, _segment(model, rests, parents, offset, ends, spots, targets))


def _segment(
    model: Model,
    sequences: Sequence[Sequence[int]],
    parents: Sequence[int],
    offset: int,
    prompt_end: Sequence[int],
    spots: Sequence[tuple[int, int]] = (),
    targets: Sequence[tuple[int, int, int, int]] = (),
) -> Segment:
    padded = pad_right(model, sequences, range(len(sequences)))
    device = padded.tokens.device
    return Segment(
        padded.tokens,
        padded.mask,
        torch.tensor(parents, device=device),
        offset,
        torch.tensor(prompt_end, device=device),
        torch.tensor(spots, dtype=torch.long).reshape(-1, 2),
        torch.tensor(targets, dtype=torch.long).reshape(-1, 4),
    )
