"""Reads the residual stream of many prompts: sums over groups of prompts, or each prompt's own.

    sum_activations(model, groups, positions=[-1]).mean()    # group x position x layer x d_model
    activations_at(model, sequences, [(15, -1)])             # place x prompt x d_model

Either takes one pass over the prompts for all layers and positions. The sums are in float64, and
need no more memory for more prompts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import einops
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from role_lens._run.budget import in_batches, token_budget
from role_lens._run.exclusive import has_model_to_itself, hooked
from role_lens._run.fingerprint import has_hooks
from role_lens._run.partial_pass import run_blocks
from role_lens._run.past import Past
from role_lens._run.residual_stream import residual_stream
from role_lens._run.tokens import Batch, common_prefix_length, pad_right
from role_lens.checks import whole_number
from role_lens.errors import RoleLensError, warn
from role_lens.models import Model, check_layer, model_name, weight_processing


@dataclass(frozen=True, eq=False)
class GroupSums:
    """Float64 sums over the prompts of each group."""

    count: Int[Tensor, " group"]
    total: Float[Tensor, "group position layer d_model"]
    """Sum of the residual stream entering each block."""
    probe_total: Float[Tensor, "group probe position layer"]
    """Sum of each prompt's projections on the probe directions."""
    probe_square: Float[Tensor, "group probe position layer"]
    """Sum of the squares of those projections."""

    def mean(self) -> Float[Tensor, "group position layer d_model"]:
        """Mean activation of each group (NaN for a group without prompts)."""
        return self.total / self.count[:, None, None, None]


@has_model_to_itself
@torch.inference_mode()
def sum_activations(
    model: Model,
    groups: Sequence[Sequence[Sequence[int]]],
    positions: Sequence[int],
    *,
    probes: Float[Tensor, "probe position layer d_model"] | None = None,
    max_tokens: int | None = None,
    progress: str | None = None,
) -> GroupSums:
    """Sum the residual stream at `positions` of all layers over each group of token sequences.

    Args:
        groups: token sequences of each group; a group may be empty.
        positions: token positions, negative, from the end.
        probes: directions whose projections are summed too, with their squares.
        max_tokens: most tokens in a batch, padding included; None for a number that suits the
            memory at hand.
        progress: label of a progress bar; None for no bar.

    Raises:
        RoleLensError: NaN or infinite activations.
    """
    sequences = [ids for group in groups for ids in group]
    owner = torch.tensor([g for g, group in enumerate(groups) for _ in group], dtype=torch.long)
    n_layers, d_model = model.cfg.n_layers, model.cfg.d_model
    shape = (len(positions), n_layers)
    n_probes = 0 if probes is None else probes.shape[0]
    count = torch.bincount(owner, minlength=len(groups))
    total = torch.zeros((len(groups), *shape, d_model), dtype=torch.float64)
    probe_total = torch.zeros((len(groups), n_probes, *shape), dtype=torch.float64)
    probe_square = torch.zeros_like(probe_total)
    with tqdm(total=len(sequences), desc=progress, disable=progress is None) as bar:
        for batch, stream in _streams(model, sequences, positions, max_tokens):
            resid = einops.rearrange(
                stream.cpu().float(),
                "layer batch position d_model -> batch position layer d_model",
            )
            if not bool(torch.isfinite(resid).all()):
                raise RoleLensError(
                    "the model's activations are NaN or infinite; with float16 weights try "
                    "dtype=torch.bfloat16 or float32"
                )
            group = owner[list(batch.index)]
            total.index_add_(0, group, resid.double())
            if probes is not None:
                projection = einops.einsum(
                    resid,
                    probes.float(),
                    "batch position layer d_model, probe position layer d_model"
                    " -> batch probe position layer",
                ).double()
                probe_total.index_add_(0, group, projection)
                probe_square.index_add_(0, group, projection.square())
            bar.update(len(batch.index))
    return GroupSums(count, total, probe_total, probe_square)


@has_model_to_itself
@torch.inference_mode()
def activations_at(
    model: Model,
    sequences: Sequence[Sequence[int]],
    places: Sequence[tuple[int, int]],
    max_tokens: int | None = None,
) -> Float[Tensor, "place prompt d_model"]:
    """Residual stream of single prompts at some layers and positions, float32.

    Args:
        sequences: token ids of each prompt, such as `encode_chat` gives.
        places: pairs of a layer (its input is read) and a token position, negative, counted from
            the end.
        max_tokens: most tokens in a batch, padding included; None for a number that suits the
            memory at hand.

    Raises:
        RoleLensError: a position that the shortest sequence doesn't have.

    Examples:
        >>> sequences = encode_chat(model, ["Tea?", "Lunch!"])
        >>> activations_at(model, sequences, [(1, -1), (2, -1), (2, -2)]).shape
        torch.Size([3, 2, 32])
    """
    places = [(check_layer(model, layer), whole_number(at, "a position")) for layer, at in places]
    if not places:
        raise RoleLensError("expected at least one pair of a layer and a position, got none")
    positions = sorted({position for _, position in places})
    with torch.inference_mode(False):  # or nothing could be trained on it
        found = torch.empty((len(places), len(sequences), model.cfg.d_model))
    for batch, resid in _streams(model, sequences, positions, max_tokens):
        for place, (layer, position) in enumerate(places):
            at = resid[layer, :, positions.index(position)]
            found[place, list(batch.index)] = at.float().cpu()
    return found


@has_model_to_itself
@torch.inference_mode()
def states_of(model: Model, ids: Sequence[int], layer: int) -> Float[Tensor, "pos d_model"]:
    """Residual stream entering a block at every token of one sequence, float32.

    Patches that are attached to the model act.

    Examples:
        >>> states_of(model, encode_chat(model, ["Tea?"])[0], layer=1).shape
        torch.Size([23, 32])
    """
    check_layer(model, layer)
    kept: list[Tensor] = []

    def keep(x: Tensor, hook: Any) -> None:
        kept.append(x[0].float().cpu())

    with hooked(model, [(f"blocks.{layer}.hook_resid_pre", keep)]):
        model(torch.tensor([list(ids)], device=model.cfg.device))
    return kept[0]


@has_model_to_itself
@torch.inference_mode()
def tail_means(
    model: Model,
    sequences: Sequence[Sequence[int]],
    lengths: Sequence[int],
    max_tokens: int | None = None,
) -> Float[Tensor, "sequence layer d_model"]:
    """Mean residual stream over the last tokens of each sequence, at every layer, float32.

    Args:
        sequences: token ids.
        lengths: how many of each sequence's last tokens are averaged, at least one.
        max_tokens: most tokens in a batch, padding included; None for a number that suits the
            memory at hand.

    Examples:
        >>> sequences = encode_chat(model, ["Tea?", "Lunch!"])
        >>> tail_means(model, sequences, [2, 1]).shape
        torch.Size([2, 3, 32])
    """
    with torch.inference_mode(False):  # or nothing could be trained on it
        found = torch.empty((len(sequences), model.cfg.n_layers, model.cfg.d_model))
    # Together go those whose shortest sequence has all the tokens that the longest tail needs.
    order = sorted(range(len(sequences)), key=lambda i: lengths[i], reverse=True)
    while order:
        longest = lengths[order[0]]
        together = [i for i in order if len(sequences[i]) >= longest]
        order = [i for i in order if len(sequences[i]) < longest]
        some = [sequences[i] for i in together]
        for batch, resid in _streams(model, some, range(-longest, 0), max_tokens):
            tails = torch.tensor([lengths[together[i]] for i in batch.index], device=resid.device)
            back = torch.arange(longest, 0, -1, device=resid.device)
            within = (back <= tails[:, None]).to(torch.float32)
            total = einops.einsum(
                resid.float(),
                within,
                "layer batch position d_model, batch position -> batch layer d_model",
            )
            found[[together[i] for i in batch.index]] = (total / tails[:, None, None]).cpu()
    return found


def _streams(
    model: Model,
    sequences: Sequence[Sequence[int]],
    positions: Sequence[int],
    max_tokens: int | None,
) -> Iterator[tuple[Batch, Float[Tensor, "layer batch position d_model"]]]:
    """The residual stream of all sequences, in batches; tokens with which all of them begin (a
    chat preamble) are computed only once."""
    if not sequences:
        return
    shortest = min(map(len, sequences))
    if not shortest:
        raise RoleLensError("expected token ids of each prompt, got an empty list")
    if not -shortest <= min(positions) <= max(positions) < 0:
        raise RoleLensError(
            f"positions {sorted(positions)} are out of range: they count from the end, -1 to "
            f"-{shortest} for the shortest prompt"
        )
    after = max(0, shortest + min(positions))  # what is read comes after it
    ordered = sorted(tuple(ids) for ids in sequences)
    common = common_prefix_length(ordered[0], ordered[-1])  # of all: the others are in between
    prefix = sequences[0][: min(common, after)]
    # A hook that counts tokens would see a text without its beginning.
    if prefix and (has_hooks(model) or not _continues(model, sequences, prefix, positions)):
        prefix = []
    past = _past(model, prefix) if prefix else None

    def run(batch: Batch) -> Float[Tensor, "layer batch position d_model"]:
        return residual_stream(model, batch, positions, past)

    rests = [ids[len(prefix) :] for ids in sequences]
    yield from in_batches(model, rests, token_budget(model, max_tokens), run, pad=pad_right)


def _past(model: Model, prefix: Sequence[int]) -> Past | None:
    tokens = torch.tensor([prefix], device=model.cfg.device)
    end = model.cfg.n_layers - 1
    return run_blocks(model, tokens, torch.ones_like(tokens), stop=end, keep=True)[1]


_checked: WeakKeyDictionary[Any, dict[tuple[str, str], bool]] = WeakKeyDictionary()


def _continues(
    model: Model,
    sequences: Sequence[Sequence[int]],
    prefix: Sequence[int],
    positions: Sequence[int],
) -> bool:
    """Whether this model gives the same after keys and values of a prefix as in one pass.

    Found out once for a model, on the longest and the shortest sequence.
    """
    known = _checked.setdefault(model, {})
    key = (weight_processing(model), str(model.cfg.dtype))
    if key not in known:
        two = [max(sequences, key=len), min(sequences, key=len)]
        rests = [ids[len(prefix) :] for ids in two]
        try:
            whole = residual_stream(model, pad_right(model, two, (0, 1)), positions)
            if not bool(torch.isfinite(whole).all()):
                return False  # the model is at fault; its own error follows
            past = _past(model, prefix)
            parts = residual_stream(model, pad_right(model, rests, (0, 1)), positions, past)
            size = whole.float().flatten(1).norm(dim=1).clamp(min=1e-6)  # of each layer
            difference = float(((parts - whole).float().flatten(1).norm(dim=1) / size).max())
        except torch.OutOfMemoryError:
            return False  # which says nothing of the model
        except Exception:  # whatever an unusual architecture makes of it
            difference = float("nan")
        low = model.cfg.dtype in (torch.bfloat16, torch.float16)
        known[key] = difference <= (0.1 if low else 1e-3)  # not where it is NaN
        if not known[key]:
            warn(
                f"{model_name(model)} doesn't continue exactly from a shared preamble, which is "
                "computed again for every prompt"
            )
    return known[key]
