"""Finds a direction at each place, a layer and a position, from activations of single prompts.

    at_places(data, direction_of)["economist's row", "a position", "a layer"]

It is the loop that finders share which need more than means.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from role_lens.checks import whole_number
from role_lens.errors import RoleLensError
from role_lens.finders._finder import FitData
from role_lens.values import shown

_MOST_BYTES = 2**30
"""Activations that are held at once; for more layers the prompts are run again."""

DirectionOf = Callable[
    [Float[Tensor, "role_prompt d_model"], Float[Tensor, "base_prompt d_model"]],
    Float[Tensor, " d_model"],
]
"""A function that gives a direction that tells a role's prompts from base prompts, of any length,
from their activations at one place."""


def at_places(
    data: FitData, direction_of: DirectionOf, layers: Sequence[int] | None = None
) -> Float[Tensor, "role position layer d_model"]:
    """A direction for each role, position and layer, from the role's prompts against the base ones.

    Each is turned towards the role, and as long as the two groups' means lie apart along it: so
    coefficient 1 adds the mean difference, as it does for differences of means. Where the means are
    the same, as at layer 0 of most models, it is zero; on layers that aren't asked for, NaN.

    Args:
        direction_of: not called where there is a single prompt of either group, or where no
            activation differs.
        layers: None for all.

    Raises:
        RoleLensError: a layer that the model doesn't have.
    """
    n_layers = data.model.cfg.n_layers
    wanted = range(n_layers) if layers is None else layers
    for layer in wanted:
        if not 0 <= layer < n_layers:
            raise RoleLensError(f"layer {layer} is out of range: the model has 0 to {n_layers - 1}")
    found = torch.full_like(data.role_means, torch.nan)
    n_prompts = sum(map(len, data.role_tokens)) + len(data.base_tokens)
    of_a_layer = 4 * n_prompts * len(data.positions) * data.role_means.shape[-1]
    size = max(1, _MOST_BYTES // of_a_layer)
    chunks = [wanted[i : i + size] for i in range(0, len(wanted), size)]
    with tqdm(
        total=len(wanted) * len(data.role_tokens),
        desc="directions",
        disable=not data.compute.progress,
    ) as bar:
        for chunk in chunks:
            base = data.activations(data.base_tokens, chunk)
            for role, tokens in enumerate(data.role_tokens):
                own = data.activations(tokens, chunk)
                for i, layer in enumerate(chunk):
                    for position in range(len(data.positions)):
                        here = own[:, position, i], base[:, position, i]
                        found[role, position, layer] = _scaled(*here, direction_of)
                    bar.update()
    return found


def pairs(
    role: Float[Tensor, "role_prompt d_model"], base: Float[Tensor, "base_prompt d_model"]
) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]:
    """As many of both, from the same places of their lists."""
    n = min(len(role), len(base))
    own, others = (
        some[torch.linspace(0, len(some) - 1, n).round().long()] for some in (role, base)
    )
    return own, others


def set_layers(finder: Any) -> None:
    """Make a tuple of whole numbers of a finder's layers.

    Raises:
        RoleLensError: anything else, or none.
    """
    layers = finder.layers
    if layers is None:
        return
    if not isinstance(layers, Iterable) or isinstance(layers, str):
        raise RoleLensError(f"layers must be a list such as [12, 15], got {shown(layers)}")
    numbers = tuple(dict.fromkeys(whole_number(layer, "a layer", least=0) for layer in layers))
    if not numbers:
        raise RoleLensError("layers must be at least one, or None for all, got none")
    object.__setattr__(finder, "layers", numbers)


def _scaled(
    role: Float[Tensor, "role_prompt d_model"],
    base: Float[Tensor, "base_prompt d_model"],
    direction_of: DirectionOf,
) -> Float[Tensor, " d_model"]:
    difference = role.mean(dim=0) - base.mean(dim=0)
    if min(len(role), len(base)) < 2 or not bool(difference.abs().amax() > 0):
        return torch.zeros_like(difference)
    direction = direction_of(role, base)
    direction = direction / direction.norm()
    return direction * (difference @ direction)  # towards the role, since a sign cancels
