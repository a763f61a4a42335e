"""Lets the model say what a direction means, by putting it in the place of a word.

    patchscope(model, direction[None], Injection(layer=3))    # what it answers, one text

The model answers the prompt "What does X represent?" while the residual stream at the token X is
changed to the direction, or by it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.activations import activations_at
from role_lens._run.exclusive import with_usual_defaults
from role_lens._run.tokens import encode_chat
from role_lens.chat import chat_text
from role_lens.checks import check_is, real_number, whole_number
from role_lens.directions import as_vectors, unit
from role_lens.errors import RoleLensError
from role_lens.generation import Hooks, Sampling, complete
from role_lens.models import Model, check_layer

Mode = Literal["replace", "add"]

TARGET = "What does X represent?"
"""The prompt of arXiv 2502.12055, with X as placeholder."""


@dataclass(frozen=True)
class Injection:
    """Where a vector is put into a prompt, and how.

    Raises:
        RoleLensError: an unknown mode.

    Examples:
        >>> from role_lens.reading import Injection
        >>> Injection(layer=3, scale=4.0, mode="add").target
        'What does X represent?'
    """

    layer: int | Sequence[int]
    """The layer whose input is changed; one number for all vectors, or one for each."""
    scale: float | Sequence[float] = 1.0
    """A factor, see `mode`; one number for all vectors, or one for each."""
    mode: Mode = "replace"
    """`replace` puts scale · |x| · d/|d| in the place of x, the residual stream at the
    placeholder: the direction of the vector d, at the length of what was there. `add` puts x +
    scale · d there, in the residual stream's units."""
    target: str = TARGET
    """The prompt, one user turn, with the placeholder in it as a word of its own, once or
    several times."""
    placeholder: str = "X"
    """The word whose tokens are changed."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise RoleLensError(f"mode must be one of {get_args(Mode)}, got {self.mode!r}")


@with_usual_defaults
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
    """Let the model answer a prompt in which a vector stands for a word.

    The residual stream entering a block is changed at the tokens of the placeholder, as `injection`
    says; all later tokens attend to what was put there. Source: Ghandeharioun et al. 2024, arXiv
    2401.06102; with the prompt "What does X represent?" as in arXiv 2502.12055.

    Args:
        model: any model of `load_model`.
        vectors: directions, or states such as those of `word_states`.
        injection: prompt, placeholder, layer and size.
        max_new_tokens: longest text, in tokens.
        system: system message; None for the chat template's own default.
        sampling: temperature, seed and batch size, as for `generate`.
        progress: show a progress bar.

    Returns:
        One text per vector.

    Raises:
        RoleLensError: no vectors, vectors of another model's width, a zero vector, no placeholder
            in the target, other numbers of layers or scales than of vectors, a layer out of range,
            a tokenizer that doesn't tell where its tokens are in the text.

    Examples:
        >>> from role_lens.reading import Injection, patchscope
        >>> direction = vectors.direction("poet", layer=1)
        >>> texts = patchscope(model, direction[None], Injection(layer=1), max_new_tokens=2)
        >>> len(texts)
        1
    """
    check_is(injection, Injection, "injection")
    vectors = as_vectors(vectors)
    if vectors.ndim != 2:
        raise RoleLensError(
            f"expected vectors as rows, got shape {tuple(vectors.shape)}: for one direction give "
            "direction[None]"
        )
    n = len(vectors)
    if not n:
        raise RoleLensError("expected at least one vector, got none")
    layers = [whole_number(one, "layer") for one in _of_each(injection.layer, n)]
    scales = [real_number(one, "scale") for one in _of_each(injection.scale, n)]
    if len(layers) != n or len(scales) != n:
        raise RoleLensError(
            f"give one layer and one scale for all vectors, or one for each: got {n} vectors, "
            f"{len(layers)} layers and {len(scales)} scales"
        )
    for one in layers:
        check_layer(model, one)
    if vectors.shape[-1] != model.cfg.d_model:
        raise RoleLensError(
            f"the vectors have {vectors.shape[-1]} dimensions, the model {model.cfg.d_model}: they "
            "are from another model"
        )
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


@with_usual_defaults
def word_states(
    model: Model,
    words: Sequence[str],
    layer: int,
    *,
    target: str = TARGET,
    placeholder: str = "X",
    system: str | None = None,
) -> Float[Tensor, "word d_model"]:
    """The residual stream where a word stands in the place of the placeholder.

    Such a state is what the model makes of the word itself, and something to compare directions
    with: put in by `patchscope`, it shows how well the method works where the answer is known.

    Args:
        model: any model of `load_model`.
        words: such as the roles' names.
        layer: the layer whose input is read.
        target: the prompt, with the placeholder in it; read at the last one, if there are several.
        placeholder: the word that is replaced.
        system: system message; None for the chat template's own default.

    Returns:
        The residual stream entering the block at each word's last token, float32.

    Raises:
        RoleLensError: no placeholder in the target, a layer out of range, a tokenizer that doesn't
            tell where its tokens are in the text.

    Examples:
        >>> from role_lens.reading import word_states
        >>> word_states(model, ["poet", "cook"], layer=1).shape    # word, d_model
        torch.Size([2, 32])
    """
    check_layer(model, layer)
    place = placeholder_positions(model, target, placeholder, system)[-1]
    texts = [_word(placeholder).sub(word.replace("\\", r"\\"), target) for word in words]
    return activations_at(model, encode_chat(model, texts, system), [(layer, place)])[0]


def placeholder_positions(
    model: Model, target: str, placeholder: str = "X", system: str | None = None
) -> list[int]:
    """Positions of a placeholder's tokens in the formatted prompt.

    Only words of the target itself are found: none in the system message or the chat template, and
    no parts of words.

    Args:
        model: any model of `load_model`, for its tokenizer and chat template.
        target: the prompt, one user turn.
        placeholder: the word that is looked for.
        system: system message; None for the chat template's own default.

    Returns:
        Token positions, negative, from the end of the formatted prompt.

    Raises:
        RoleLensError: the target doesn't have the placeholder as a word of its own, or the
            tokenizer doesn't tell where its tokens are in the text.

    Examples:
        >>> from role_lens.reading import placeholder_positions
        >>> ids = encode_chat(model, ["X and X, not eX"])[0]
        >>> places = placeholder_positions(model, "X and X, not eX")
        >>> places, [model.tokenizer.decode([ids[place]]) for place in places]
        ([-28, -22], ['X', 'X'])
    """
    word = _word(placeholder)
    text = chat_text(model, target, system)
    found = list(word.finditer(text))
    if not placeholder or not word.search(target):
        raise RoleLensError(
            f"the target has no word {placeholder!r}: {target!r}; write it into the target"
        )
    # The target's own, not one in the template before it.
    start = text.rfind(target.strip())
    if start < 0:
        raise RoleLensError(
            f"the chat template changes the target, so that it can't be found again: {target!r}"
        )
    spans = [m.span() for m in found if start <= m.start() < start + len(target)]
    if not model.tokenizer.is_fast:
        raise RoleLensError(
            "patchscopes need a fast tokenizer, which tells where each token stands in the text: "
            "this model has none"
        )
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
    """A hook function that changes the rows whose vectors belong to this layer, at the columns of
    the placeholder."""
    rows = [row for row, one in enumerate(layers) if one == layer]
    columns: list[int] = []

    def inject(x: Tensor, hook: Any) -> Tensor:
        if not columns:  # the first pass holds the prompt, which ends in its last column
            columns.extend(x.shape[1] + place for place in places)
        elif x.shape[1] <= max(columns):  # newer tokens only, which attend to what was put there
            return x
        changed = x.clone()
        for column in columns:
            here = x[rows, column].float()
            shift = shifts[rows].to(x.device)
            length = here.norm(dim=-1, keepdim=True)
            new = length * shift if mode == "replace" else here + shift
            changed[rows, column] = new.to(x.dtype)
        return changed

    return inject
