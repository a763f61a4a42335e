"""Measures how far one patch after another moves the answers to the same prompts.

    kl = NeutralPrompts(asked, load_prompts("builtin")[::8])
    kl.divergence(vectors.add("economist", layer=15))    # nats

As replay does, it runs only what a patch changes: the blocks from its first layer on, and the
tokens that all prompts begin with only once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.exclusive import exclusive
from role_lens._run.forward import finite
from role_lens._run.partial_pass import run_blocks
from role_lens._run.tokens import common_prefix_length, encode_chat, pad_right
from role_lens.patches.hooks import attached
from role_lens.patches.patch import Patch
from role_lens.scoring.asked import AskedQuestions
from role_lens.scoring.divergence import answer_logprobs, mean_kl
from role_lens.scoring.replay import Replay

_ROWS = 8  # most prompts in a batch: enough to use the processor well


class NeutralPrompts:
    """Prompts that have nothing to do with a role, and the unpatched model's answers to them.

    It holds the residual stream of all prompts at the layers that were asked for.

    Args:
        asked: whose model, system message and budget are taken.
        prompts: formatted as one user turn each.

    Examples:
        >>> from role_lens.scoring import Asker, NeutralPrompts
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(questions)
        >>> kl = NeutralPrompts(asked, base)
        >>> kl.divergence(vectors.add("poet", layer=1)) > 0
        True
    """

    def __init__(self, asked: AskedQuestions, prompts: Sequence[str]) -> None:
        self._model = model = asked.model
        self._system = asked.asking.system
        self._max_tokens = asked.asker.compute.max_tokens
        self._streams: dict[int, _Streams] = {}
        encoded = encode_chat(model, prompts, self._system)
        # Those of like length are in one batch, which is then padded little.
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        self._prompts = [prompts[i] for i in order]
        sequences = [encoded[i] for i in order]
        # Of each prompt at least one token stays its own.
        common = [common_prefix_length(sequences[0], other) for other in sequences]
        shared = min(*common, min(map(len, sequences)) - 1)
        index = range(len(sequences))
        self._shared = shared
        self._prefix = pad_right(model, [sequences[0][:shared]], [0]) if shared else None
        rest = [ids[shared:] for ids in sequences]
        n = min(_ROWS, asked.asker.budget.rows(max(map(len, rest))))
        self._rest = [
            pad_right(model, rest[start : start + n], index[start : start + n])
            for start in range(0, len(rest), n)
        ]
        self._replays = isinstance(asked.scorer().inner, Replay)
        self._before = self._logprobs(None)

    def divergence(self, patch: Patch) -> float:
        """Mean KL divergence of the first answer token under a patch, in nats."""
        return mean_kl(self._before, self._logprobs(patch))

    @torch.inference_mode()
    def _logprobs(self, patch: Patch | None) -> Float[Tensor, "prompt d_vocab"]:
        # A mask may need the whole prompt at once.
        if not self._replays or (patch is not None and patch.tokens != "all"):
            return answer_logprobs(
                self._model,
                self._prompts,
                patch,
                system=self._system,
                max_tokens=self._max_tokens,
            )
        with exclusive(self._model):
            return self._replayed(patch)

    def _replayed(self, patch: Patch | None) -> Float[Tensor, "prompt d_vocab"]:
        model, n_layers = self._model, self._model.cfg.n_layers
        layer = 0 if patch is None else patch.first_layer
        stream = self._stream(layer)
        with attached(model, patch):  # of all tokens, so that it needs no window
            ends = self._run(stream, layer, n_layers, only=True).rest
        last = torch.cat([end for end in ends if end is not None])
        ones = torch.ones(last.shape[:2], dtype=torch.long, device=last.device)
        logits, _ = run_blocks(model, ones, ones, start=n_layers, resid=last)
        return finite(logits[:, 0]).float().log_softmax(dim=-1).cpu()

    def _stream(self, layer: int) -> "_Streams":
        """The unpatched residual stream entering a layer."""
        if layer not in self._streams:
            below = max((known for known in self._streams if known < layer), default=0)
            start = self._streams.get(below, _Streams(None, [None] * len(self._rest)))
            self._streams[layer] = self._run(start, below, layer) if layer else start
        return self._streams[layer]

    def _run(self, stream: "_Streams", start: int, stop: int, *, only: bool = False) -> "_Streams":
        """Both parts of all prompts from a layer to another; `only` keeps each prompt's end."""
        head, past = None, None
        if self._prefix is not None:
            head, past = run_blocks(
                self._model,
                self._prefix.tokens,
                self._prefix.mask,
                start=start,
                resid=stream.prefix,
                stop=stop,
                keep=True,
            )
        tails = []
        for batch, resid in zip(self._rest, stream.rest, strict=True):
            tail, _ = run_blocks(
                self._model,
                batch.tokens,
                batch.mask,
                past=None if past is None else past.select(torch.zeros_like(batch.tokens[:, 0])),
                start=start,
                resid=resid,
                stop=stop,
                only=batch.mask.sum(dim=1) - 1 if only else None,
            )
            tails.append(tail)
        return _Streams(head, tails)


@dataclass(frozen=True, eq=False)
class _Streams:
    """The residual stream of what all prompts begin with, and of the rest of each batch of them;
    None for what is not embedded yet."""

    prefix: Float[Tensor, "1 prefix_pos d_model"] | None
    rest: Sequence[Tensor | None]
