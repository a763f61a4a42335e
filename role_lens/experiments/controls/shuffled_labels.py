"""Makes directions from a role's and the base prompts with their labels shuffled.

    tokens = prompt_tokens(model, vectors)
    shuffled_by_role(model, vectors, choices, tokens, n=5, seed=0)["economist"]

They need the prompts that the vectors were fitted on.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.activations import activations_at
from role_lens._run.tokens import encode_chat
from role_lens.errors import RoleLensError, warn
from role_lens.experiments.controls.control_directions import shuffled_directions
from role_lens.experiments.selection import Choice
from role_lens.finders._finder import FitPrompts
from role_lens.models import Model
from role_lens.prompts import load_prompts, load_roles
from role_lens.vectors import RoleVectors

TokenIds: TypeAlias = list[list[int]]


def prompt_tokens(
    model: Model, vectors: RoleVectors
) -> tuple[dict[str, TokenIds], TokenIds] | None:
    """Token sequences of each role's prompts, and of the base prompts.

    The prompts are those of the vectors, or the built-in ones if the vectors were fitted on these.
    None, with a warning, where they aren't known.
    """
    prompts = vectors.prompts or _builtin(vectors)
    if prompts is None:
        warn(
            "no directions from shuffled labels: they need the prompts that the vectors were "
            "fitted on (RoleVectors.with_prompts, --prompts and --base)"
        )
        return None
    system = vectors.provenance["system"]
    of_roles = {role: encode_chat(model, some, system) for role, some in prompts.roles.items()}
    return of_roles, encode_chat(model, prompts.base, system)


def shuffled_by_role(
    model: Model,
    vectors: RoleVectors,
    choices: Sequence[Choice],
    tokens: tuple[Mapping[str, TokenIds], TokenIds] | None,
    n: int,
    seed: int,
) -> dict[str, Float[Tensor, "n d_model"]]:
    """Directions from each role's and the base prompts with their labels shuffled.

    They are taken at the layer and position of the role's chosen direction.
    """
    if tokens is None:
        return {choice.role: torch.zeros((0, vectors.d_model)) for choice in choices}
    places = [(choice.spec.layer, choice.spec.position) for choice in choices]
    of_roles, of_base = tokens
    base = activations_at(model, of_base, places)
    directions = {}
    for place, choice in enumerate(choices):
        (own,) = activations_at(model, of_roles[choice.role], places[place : place + 1])
        own_seed = seed * len(vectors.roles) + vectors.role_index(choice.role)
        directions[choice.role] = shuffled_directions(own, base[place], n, seed=own_seed)
    return directions


def _builtin(vectors: RoleVectors) -> FitPrompts | None:
    """The built-in prompts, if the vectors were fitted on them."""
    try:
        return vectors.with_prompts(load_roles("builtin"), load_prompts("builtin")).prompts
    except RoleLensError:
        return None
