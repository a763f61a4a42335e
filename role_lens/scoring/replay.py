"""Scores questions under many patches by running only what each patch changes.

    Replay(model, items, budget).logprobs([(patch,), (other,)])

A patch whose first layer is l leaves everything before block l as it was. So the residual stream of
the unpatched model is kept at the layer that is next, for all questions, and moved on block by
block; each candidate then costs the blocks from l on. Some tokens are shared: those of the chat
preamble and the examples by questions, those of the question by its options. They are computed once
per candidate, and what follows them continues from their keys and values.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import einops
import torch
from jaxtyping import Float, Int
from torch import Tensor

from role_lens._run.budget import Budget, attempt
from role_lens._run.exclusive import exclusive
from role_lens._run.partial_pass import float32_readout, run_blocks
from role_lens._run.past import Past
from role_lens.errors import OutOfMemoryError
from role_lens.models import Model
from role_lens.patches.hooks import attached_together
from role_lens.patches.patch import Combined, first_layer
from role_lens.patches.token_masks import TokenWindow, needs_whole_prompt
from role_lens.scoring.items import Item
from role_lens.scoring.segments import Group, Segment, lay_out
from role_lens.scoring.whole_pass import WholePasses

_WORK = 2e12  # floating-point operations: candidates that cost less are taken several at once
_MOST = 64  # candidates at once
_PAST_BYTES = 2**28  # most memory for keys and values of shared prefixes
_LOGITS_BYTES = 2**25  # most memory for logits; enough rows to use the matrix unit well


class Replay:
    """Log-probabilities of the options of a fixed set of questions, under one candidate after
    another."""

    def __init__(self, model: Model, items: Sequence[Item], budget: Budget) -> None:
        self._model = model
        self._items = items
        self._budget = budget
        self._plan()

    def chunk_size(self, layer: int) -> int:
        """How many candidates of this first layer to score at once, for full batches and without
        keeping too many keys and values."""
        cfg = self._model.cfg
        blocks = cfg.n_layers - layer
        weights = sum(p.numel() for p in self._model.blocks[0].parameters())
        # Not of the padded batches: the division of a sweep must not depend on the memory at hand.
        tokens = sum(len(item.prompt) for item in self._items)
        wanted = min(_MOST, math.ceil(_WORK / (2 * weights * blocks * tokens)))
        heads = getattr(cfg, "n_key_value_heads", None) or cfg.n_heads
        each = 2 * heads * cfg.d_head * blocks * (torch.finfo(cfg.dtype).bits // 8)
        longest = max((g.prefix.tokens.shape[1] for g in self._groups if g.prefix), default=1)
        return max(1, min(wanted, _PAST_BYTES // (each * longest)))

    @torch.inference_mode()
    def logprobs(self, candidates: Sequence[Combined]) -> Float[Tensor, "candidate item choice"]:
        """Log-likelihood of each option's tokens, in nats; NaN where a question has fewer options.

        Cheapest when called with rising first layers.

        Args:
            candidates: of one form (see `role_lens.patches.patch.form`).
        """
        # Of a shared prefix alone can't be told which tokens such masks have.
        if any(needs_whole_prompt(patch.tokens) for patch in candidates[0]):
            return WholePasses(self._model, self._items, self._budget).logprobs(candidates)
        with exclusive(self._model):
            return self._logprobs(candidates)

    def _logprobs(self, candidates: Sequence[Combined]) -> Float[Tensor, "candidate item choice"]:
        layer = first_layer(candidates[0])
        while True:
            largest = max(
                len(batch.question.parent) for group in self._groups for batch in group.batches
            )
            reads = attempt(
                lambda: self._reads(candidates, layer), self._budget, largest * len(candidates)
            )
            if reads is not None:
                break
            self._plan()  # smaller batches, after running out of GPU memory
        try:
            return self._scores(reads, len(candidates))
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError(
                "out of GPU memory at the unembedding, which is read in float32: use a smaller "
                "model or a larger GPU; smaller batches don't help"
            ) from error

    def _plan(self) -> None:
        self._layer = 0
        self._groups = lay_out(self._model, self._items, self._budget)

    def _reads(self, candidates: Sequence[Combined], layer: int) -> list["_Read"]:
        if layer < self._layer:
            self._plan()
        if layer > self._layer:
            self._advance(layer)
        reads: list[_Read] = []
        for group in self._groups:
            width = group.prefix.tokens.shape[1] if group.prefix is not None else 1
            size = self._budget.rows(width)
            for start in range(0, len(candidates), size):
                reads += self._group(group, candidates[start : start + size], start)
        return reads

    def _group(self, group: Group, candidates: Sequence[Combined], first: int) -> Iterator["_Read"]:
        """What is to be read for a group's questions, under candidates from number `first` on."""
        past = None
        if group.prefix is not None:
            _, past = self._run(group.prefix, None, candidates, keep=True)
        for batch in group.batches:
            size = self._budget.rows(batch.n_tokens)
            for start in range(0, len(candidates), size):
                some = candidates[start : start + size]
                rows = torch.arange(start, start + len(some), device=batch.question.mask.device)
                after = past.select(rows) if past is not None else None
                keep = batch.rest is not None
                resid, after = self._run(batch.question, after, some, keep=keep, last=True)
                yield _read(batch.question, resid, first + start)
                if batch.rest is not None:
                    resid, _ = self._run(batch.rest, after, some)
                    yield _read(batch.rest, resid, first + start)

    def _run(
        self,
        segment: Segment,
        past: Past | None,
        candidates: Sequence[Combined],
        *,
        keep: bool = False,
        last: bool = False,
    ) -> tuple[Float[Tensor, "row pos d_model"], Past | None]:
        """A segment under every candidate, to the end of the last block; only the last token of
        each row where it is enough.

        The rows are those of the first candidate, then those of the second, and so on. The rows
        of `past` are the parent segment's, in the same order.
        """
        n = len(candidates)
        repeat = "row ... -> (n row) ..."
        tokens = einops.repeat(segment.tokens, repeat, n=n)
        mask = einops.repeat(segment.mask, repeat, n=n)
        resid = None
        if segment.resid is not None:
            resid = einops.repeat(segment.resid.to(tokens.device), repeat, n=n)
        if past is not None:
            parents = len(past.rows) // n
            first = parents * torch.arange(n, device=tokens.device)
            rows = einops.rearrange(first[:, None] + segment.parent, "n row -> (n row)")
            past = past.select(rows)
        # A token mask tells columns by their place in the pass, so it needs all of them.
        only = None
        if last and all(patch.tokens == "all" for patch in candidates[0]):
            only = mask.sum(dim=1) - 1
        window = TokenWindow(einops.repeat(segment.prompt_end, repeat, n=n), segment.offset)
        with attached_together(self._model, candidates, window):
            return run_blocks(
                self._model,
                tokens,
                mask,
                past=past,
                start=self._layer,
                resid=resid,
                stop=self._model.cfg.n_layers,
                only=only,
                keep=keep,
            )

    def _scores(
        self, reads: Sequence["_Read"], n_candidates: int
    ) -> Float[Tensor, "candidate item choice"]:
        """Summed log-probabilities of the targets of each option.

        All are read together: the unembedding is fetched from memory once for each pass through it,
        and that takes as long as a block.
        """
        model = self._model
        n_choices = torch.tensor([len(item.continuations) for item in self._items])
        scores = torch.zeros((n_candidates, len(n_choices), int(n_choices.max())))
        vectors = torch.cat([read.resid for read in reads])
        shift = torch.tensor([0] + [len(read.resid) for read in reads]).cumsum(0)
        row = torch.cat([read.row + first for read, first in zip(reads, shift, strict=False)])
        candidate, item, choice, token = torch.cat([read.target for read in reads]).T
        size = max(1, _LOGITS_BYTES // (4 * model.cfg.d_vocab))
        with float32_readout(model):
            for start in range(0, len(vectors), size):
                resid = vectors[start : start + size, None].float()
                ones = torch.ones(resid.shape[:2], dtype=torch.long, device=resid.device)
                logits, _ = run_blocks(model, ones, ones, start=model.cfg.n_layers, resid=resid)
                logits = logits[:, 0]
                here = ((row >= start) & (row < start + size)).nonzero()[:, 0]
                rows, tokens = (row[here] - start).to(logits.device), token[here].to(logits.device)
                logprob = logits[rows, tokens] - logits.logsumexp(dim=-1)[rows]
                where = (candidate[here], item[here], choice[here])
                scores.index_put_(where, logprob.cpu(), accumulate=True)
        absent = torch.arange(scores.shape[2]) >= n_choices[:, None]
        return scores.masked_fill(absent, torch.nan)

    def _advance(self, layer: int) -> None:
        """Move the unpatched residual stream of all segments on to the input of `layer`."""
        try:
            for group in self._groups:
                past = self._advance_segment(group.prefix, None, layer) if group.prefix else None
                for batch in group.batches:
                    after = self._advance_segment(batch.question, past, layer)
                    if batch.rest is not None:
                        self._advance_segment(batch.rest, after, layer)
        except BaseException:
            self._plan()  # some segments have moved and others have not
            raise
        self._layer = layer

    def _advance_segment(self, segment: Segment, past: Past | None, layer: int) -> Past | None:
        device = segment.tokens.device
        resid, after = run_blocks(
            self._model,
            segment.tokens,
            segment.mask,
            past=past.select(segment.parent) if past is not None else None,
            start=self._layer,
            resid=segment.resid.to(device) if segment.resid is not None else None,
            stop=layer,
            keep=True,
        )
        segment.resid = resid.cpu()
        return after


@dataclass(frozen=True, eq=False)
class _Read:
    """What is to be read after the last block: vectors, and the tokens to score at them."""

    resid: Float[Tensor, "vector d_model"]
    row: Int[Tensor, " target"]
    """Which vector a target is read from."""
    target: Int[Tensor, "target candidate_item_choice_token"]


def _read(segment: Segment, resid: Float[Tensor, "candidate_row pos d_model"], first: int) -> _Read:
    """The spots of a segment under several candidates, the first of which is number `first`."""
    resid = einops.rearrange(resid, "(n row) pos d -> n row pos d", row=len(segment.parent))
    n, (rows, columns) = len(resid), segment.spots.T
    columns = columns.clamp(max=resid.shape[2] - 1)  # where only the last of each row was computed
    candidate = einops.repeat(torch.arange(n), "n -> (n target)", target=len(segment.targets))
    spot, item, choice, token = einops.repeat(segment.targets, "target x -> x (n target)", n=n)
    return _Read(
        einops.rearrange(resid[:, rows, columns], "n spot d -> (n spot) d"),
        candidate * len(segment.spots) + spot,
        torch.stack([first + candidate, item, choice, token], dim=1),
    )
