"""Lets the model say what a vector is, put in the place of a word.

patchscope(model, direction[None], Injection(layer=3))   # "What does X represent?"
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.activations import activations_at
from role_lens._run.tokens import chat_text, encode_chat
from role_lens.directions import unit
from role_lens.errors import RoleLensError
from role_lens.generation import Hooks, Sampling, complete
from role_lens.models import Model, check_layer

Mode = Literal["replace", "add"]

TARGET = "What does X represent?"


@dataclass(frozen=True)
class Injection:
    """Where a vector is put, and how.

    Raises:
        RoleLensError: an unknown mode.

    Example:
        >>> Injection(layer=3, scale=4.0, mode="add").target
        'What does X represent?'
    """

    layer: int | Sequence[int]
    """The layer whose input is changed: of all vectors, or one for each."""
    scale: float | Sequence[float] = 1.0
    """Of all vectors, or one for each."""
    mode: Mode = "replace"
    """`replace`: scale · |x| · d/|d|, the vector's direction in the stream's own length there;
    `add`: x + scale · d, the raw vector."""
    target: str = TARGET
    """A prompt with the placeholder as a word of its own, once or several times."""
    placeholder: str = "X"

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise RoleLensError(f"mode must be one of {get_args(Mode)}, got {self.mode!r}")


def patchscope(
    model: Model,
    vectors: Float[Tensor, "vector d_model"],
    injection: Injection,
    *,
    max_new_tokens: int = 32,
    system: str | None = None,
    sampling: Sampling = Sampling(batch_size=64),
    progress: bool = False,
) -> list[str]:
    """Let the model answer a prompt in which a vector stands for a word (Ghandeharioun et al. 2024,
    arXiv 2401.06102; with "What does X represent?" as in arXiv 2502.12055).

    The residual stream entering a block is changed at the tokens of the placeholder, see
    `Injection`.

    Args:
        max_new_tokens, system, sampling, progress: as for `generate`.

    Returns:
        One text per vector.

    Raises:
        RoleLensError: no vectors, no placeholder in the target, numbers of layers or scales that
            don't match, a layer out of range, a zero vector, a tokenizer without offsets.

    Example:
        >>> direction = vectors.direction("poet", layer=1)
        >>> len(patchscope(model, direction[None], Injection(layer=1), max_new_tokens=2))
        1
    """
    n = len(vectors)
    if not n:
        raise RoleLensError("patchscope needs at least one vector")
    layers = [operator.index(one) for one in _of_each(injection.layer, n)]
    scales = [float(one) for one in _of_each(injection.scale, n)]
    if len(layers) != n or len(scales) != n:
        raise RoleLensError(f"{n} vectors, {len(layers)} layers and {len(scales)} scales")
    for one in layers:
        check_layer(model, one)
    if vectors.shape[-1] != model.cfg.d_model:
        raise RoleLensError(
            f"the vectors have {vectors.shape[-1]} dimensions, the model {model.cfg.d_model}"
        )
    vectors = vectors.detach().float().cpu()
    units, mode = unit(vectors), injection.mode
    shifts = (units if mode == "replace" else vectors) * torch.tensor(scales)[:, None]
    places = placeholder_positions(model, injection.target, injection.placeholder, system)

    def injections(index: Sequence[int]) -> Hooks:
        own = [layers[i] for i in index]
        return [
            (
                f"blocks.{one}.hook_resid_pre",
                _injection(shifts[list(index)], own, one, places, mode),
            )
            for one in sorted(set(own))
        ]

    completions = complete(
        model,
        [injection.target] * n,
        max_new_tokens=max_new_tokens,
        system=system,
        sampling=sampling,
        hooks_of=injections,
        progress=progress,
    )
    return [completion.text for completion in completions]


def word_states(
    model: Model,
    words: Sequence[str],
    layer: int,
    *,
    target: str = TARGET,
    placeholder: str = "X",
    system: str | None = None,
) -> Float[Tensor, "word d_model"]:
    """The residual stream entering a block at each word's last token, where it stands in the place
    of the placeholder: what a text about the word begins from, to hold directions against.

    Raises:
        RoleLensError: as `patchscope`.
    """
    check_layer(model, layer)
    place = placeholder_positions(model, target, placeholder, system)[-1]
    texts = [_word(placeholder).sub(word.replace("\\", r"\\"), target) for word in words]
    return activations_at(model, encode_chat(model, texts, system), [(layer, place)])[0]


def placeholder_positions(
    model: Model, target: str, placeholder: str = "X", system: str | None = None
) -> list[int]:
    """Positions, from the end of the formatted prompt, of the tokens of a placeholder.

    Raises:
        RoleLensError: it is not in the target as a word of its own, or the tokenizer can't tell.
    """
    word = _word(placeholder)
    text = chat_text(model, target, system)
    found = list(word.finditer(text))
    if not placeholder or not word.search(target):
        raise RoleLensError(f"the target has no word {placeholder!r}: {target!r}")
    # The target's own, not one in the template before it.
    start = text.rindex(target.strip())
    spans = [m.span() for m in found if start <= m.start() < start + len(target)]
    if not model.tokenizer.is_fast:
        raise RoleLensError("patchscopes need a fast tokenizer, which tells offsets")
    encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    offsets = encoded["offset_mapping"]
    return [
        index - len(offsets)
        for index, (first, last) in enumerate(offsets)
        if any(first < end and last > begin for begin, end in spans)
    ]


def _word(placeholder: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(placeholder)}(?!\w)")


def _of_each(value: Any, n: int) -> list[Any]:
    return [value] * n if np.ndim(value) == 0 else list(value)


def _injection(
    shifts: Float[Tensor, "vector d_model"],
    layers: Sequence[int],
    layer: int,
    places: Sequence[int],
    mode: Mode,
) -> Callable[[Tensor, Any], Tensor]:
    """A hook function for the rows whose vectors belong to this layer."""
    rows = [row for row, one in enumerate(layers) if one == layer]
    first = True

    def inject(x: Tensor, hook: Any) -> Tensor:
        nonlocal first
        if not first:  # the tokens that follow attend to what was put there
            return x
        first = False
        changed = x.clone()
        for place in places:
            here = x[rows, place].float()
            shift = shifts[rows].to(x.device)
            length = here.norm(dim=-1, keepdim=True)
            new = length * shift if mode == "replace" else here + shift
            changed[rows, place] = new.to(x.dtype)
        return changed

    return inject
