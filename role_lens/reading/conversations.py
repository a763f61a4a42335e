"""Follows a conversation along role directions, turn by turn: does the model stay in its role?

    table = monitor(model, talk, {"nurse": vectors.direction("nurse", layer=15)}, layer=15)
    table[table["speaker"] == "assistant"].plot("turn", "nurse")

Drift in conversations along such directions: Lu et al. 2026, arXiv 2601.10387.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import einops
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.activations import states_of
from role_lens._run.tokens import common_prefix_length, encode_begun, encode_chat
from role_lens.conversation import Conversation
from role_lens.directions import as_vector, unit
from role_lens.errors import RoleLensError
from role_lens.models import Model, check_layer

_PROBES = ("Word", "Zebra")  # messages that begin differently
_COLUMNS = ("turn", "speaker", "text")


def monitor(
    model: Model,
    conversation: Conversation,
    directions: Mapping[str, Float[Tensor, " d_model"]],
    *,
    layer: int,
) -> pd.DataFrame:
    """Project every turn of a conversation on directions.

    A turn's number is the mean over its own tokens (of a user's turn the message, and what the
    template writes before the answer) of x·d/|d|, with x the residual stream of the
    unpatched model entering a block; `… (last)` is that of one token alone: of a user's turn the
    template's last before the answer, where role vectors are read at position -1, and of an answer
    its own last.

    Args:
        conversation: whatever was said; the texts may have been written under a patch.
        directions: name -> a direction of any length; only where it points counts.
        layer: the layer whose input is projected, counted from 0.

    Returns:
        One row per turn: `turn` (counted from 1, a question and its answer having the same number),
        `speaker` (`user` or `assistant`), `text`, and for each direction its name, `<name> (last)`,
        and `<name> (drift)`: how far the mean is from that of the same speaker's first turn. In the
        residual stream's units.

    Raises:
        RoleLensError: an empty conversation, no direction or one of another model, a layer out of
            range, or a conversation longer than the model's context.

    Examples:
        >>> from role_lens.reading import monitor
        >>> talk = Conversation().said("Tea?").answered("Please.").said("With milk?")
        >>> table = monitor(model, talk, {"poet": vectors.direction("poet", layer=1)}, layer=1)
        >>> table[["turn", "speaker"]].values.tolist()
        [[1, 'user'], [1, 'assistant'], [2, 'user']]
    """
    check_layer(model, layer)
    units = _units(model, directions)
    rows, sequences, lengths = [], [], []
    prompts = [
        Conversation(conversation.turns[:number], asked, conversation.system)
        for number, asked in enumerate(_asked(conversation))
    ]
    if not prompts:
        raise RoleLensError("expected a conversation with at least one message, got an empty one")
    answers = [*(answer for _, answer in conversation.turns), None]
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=False), start=1):
        (ids,) = encode_chat(model, [prompt])
        rows.append((number, "user", prompt.prompt))
        sequences.append(ids)
        lengths.append(len(ids) - _n_before(model, prompt, ids))
        if answer is not None:
            (head,), (tokens,) = encode_begun(model, [prompt], [answer])
            rows.append((number, "assistant", answer))
            sequences.append(head + tokens)
            lengths.append(len(tokens))
    means, last = _states(model, sequences, lengths, layer)
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    for name, direction in units.items():
        for states, what in ((means, ""), (last, " (last)")):
            found = einops.einsum(states, direction, "turn d_model, d_model -> turn")
            table[f"{name}{what}"] = found.numpy().astype(float)
        first = table.groupby("speaker")[name].transform("first")
        table[f"{name} (drift)"] = table[name] - first
    return table


def _asked(conversation: Conversation) -> list[str]:
    """All that the user said."""
    pending = [] if conversation.prompt is None else [conversation.prompt]
    return [*(asked for asked, _ in conversation.turns), *pending]


def _states(
    model: Model, sequences: Sequence[Sequence[int]], lengths: Sequence[int], layer: int
) -> tuple[Float[Tensor, "turn d_model"], Float[Tensor, "turn d_model"]]:
    """The mean over the last tokens of each turn, and its last token alone.

    Most turns are the beginning of the next one, which is then run for both.
    """
    means, last = [], []
    whole: Sequence[int] = ()
    for ids, length in zip(reversed(sequences), reversed(lengths), strict=True):
        if list(whole[: len(ids)]) != list(ids):
            whole, states = ids, states_of(model, ids, layer)
        means.append(states[len(ids) - length : len(ids)].mean(dim=0))
        last.append(states[len(ids) - 1])
    return torch.stack(means[::-1]), torch.stack(last[::-1])


def _n_before(model: Model, prompt: Conversation, ids: Sequence[int]) -> int:
    """How many tokens come before the user's last message: those that they are whatever it is.

    The first token, whose residual stream is a hundred times as long as others', is one of them.
    """
    others = [replace(prompt, prompt=word) for word in _PROBES]
    return min(common_prefix_length(ids, probe) for probe in encode_chat(model, others))


def _units(
    model: Model, directions: Mapping[str, Float[Tensor, " d_model"]]
) -> dict[str, Float[Tensor, " d_model"]]:
    if not directions:
        raise RoleLensError("monitor needs at least one direction")
    units = {str(name): unit(as_vector(one)) for name, one in directions.items()}
    for name, direction in units.items():
        if name in _COLUMNS or name.endswith((" (last)", " (drift)")):
            raise RoleLensError(f"a direction can't be called {name!r}, which is a column")
        if direction.shape != torch.Size([model.cfg.d_model]):
            raise RoleLensError(
                f"direction {name!r} has {len(direction)} dimensions, the model's residual stream "
                f"{model.cfg.d_model}: it is from another model"
            )
    return units
