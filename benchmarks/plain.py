"""The procedures that the package is compared with, written without it.

`plain_sweep` and `plain_fit` are the usual way with TransformerLens: whole passes under hooks,
batches of 8 in file order, logits of all tokens. `by_hand_sweep` is the strongest thing that a
user would write with Hugging Face transformers alone: sdpa attention, batches by length, and the
unembedding of the last token only.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from role_lens.models import Model
from role_lens.scoring.items import Item

Addition = tuple[int, Tensor]
"""Layer, and what is added there at all tokens."""


def pad(sequences: Sequence[Sequence[int]], device: Any) -> tuple[Tensor, Tensor]:
    """Left-padded token ids and mask."""
    width = max(map(len, sequences))
    tokens = torch.zeros((len(sequences), width), dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for row, ids in enumerate(sequences):
        tokens[row, width - len(ids) :] = torch.tensor(list(ids))
        mask[row, width - len(ids) :] = 1
    return tokens.to(device), mask.to(device)


@torch.inference_mode()
def plain_sweep(model: Model, items: Sequence[Item], additions: Sequence[Addition]) -> Tensor:
    """Letter log-probabilities `candidate item choice`."""
    results = []
    for layer, direction in additions:

        def add(x: Tensor, hook: Any, direction: Tensor = direction) -> Tensor:
            return x + direction.to(x)

        rows = []
        with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", add)]):
            for start in range(0, len(items), 8):
                some = items[start : start + 8]
                tokens, mask = pad([item.prompt for item in some], model.cfg.device)
                logprobs = model(tokens, attention_mask=mask)[:, -1].float().log_softmax(-1)
                rows += [letters(row, item) for row, item in zip(logprobs, some, strict=True)]
        results.append(stack(rows))
    return torch.stack(results)


@torch.inference_mode()
def by_hand_sweep(
    hf_model: Any, items: Sequence[Item], additions: Sequence[Addition], max_tokens: int
) -> Tensor:
    """Letter log-probabilities `candidate item choice`."""
    order = sorted(range(len(items)), key=lambda i: -len(items[i].prompt))
    batches = []
    while order:
        size = max(1, max_tokens // len(items[order[0]].prompt))
        batches.append(order[:size])
        order = order[size:]
    results = []
    for layer, direction in additions:

        def add(block: Any, args: Any, kwargs: Any, direction: Tensor = direction) -> Any:
            return (args[0] + direction.to(args[0]), *args[1:]), kwargs

        block = hf_model.model.layers[layer]
        handle = block.register_forward_pre_hook(add, with_kwargs=True)
        rows: dict[int, Tensor] = {}
        for index in batches:
            tokens, mask = pad([items[i].prompt for i in index], hf_model.device)
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            hidden = hf_model.model(
                tokens, attention_mask=mask, position_ids=positions, use_cache=False
            ).last_hidden_state[:, -1]
            logprobs = hf_model.lm_head(hidden).float().log_softmax(-1)
            rows |= {i: letters(row, items[i]) for i, row in zip(index, logprobs, strict=True)}
        handle.remove()
        results.append(stack([rows[i] for i in range(len(items))]))
    return torch.stack(results)


@torch.inference_mode()
def plain_fit(
    model: Model, roles: Sequence[Sequence[Sequence[int]]], base: Sequence[Sequence[int]], last: int
) -> Tensor:
    """Directions `role position layer d_model` at the last tokens; the base prompts are run
    again for each role."""
    layers = range(model.cfg.n_layers)

    def mean(sequences: Sequence[Sequence[int]]) -> Tensor:
        total = torch.zeros((last, len(layers), model.cfg.d_model), dtype=torch.float64)
        for start in range(0, len(sequences), 8):
            tokens, mask = pad(sequences[start : start + 8], model.cfg.device)

            def collect(x: Tensor, hook: Any, layer: int) -> None:
                total[:, layer] += x[:, -last:].double().sum(0).cpu()

            hooks = [
                (
                    f"blocks.{layer}.hook_resid_pre",
                    lambda x, hook, layer=layer: collect(x, hook, layer),
                )
                for layer in layers
            ]
            with model.hooks(fwd_hooks=hooks):
                model(tokens, attention_mask=mask)
        return total / len(sequences)

    return torch.stack([mean(role) - mean(base) for role in roles]).float()


def letters(logprobs: Tensor, item: Item) -> Tensor:
    """Log-probabilities of an item's letters."""
    return logprobs[[tokens[0] for tokens in item.continuations]].cpu()


def stack(rows: Sequence[Tensor]) -> Tensor:
    """Rows of different length, filled up with NaN."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=torch.nan)
