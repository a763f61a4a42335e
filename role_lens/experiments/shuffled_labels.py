"""Directions from a role's and the base prompts with their labels mixed.

Knows the prompts of the fit and where directions were chosen, no questions.
"""

import warnings
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.activations import activations_at
from role_lens._run.tokens import encode_chat
from role_lens.errors import RoleLensError
from role_lens.experiments.controls import shuffled_directions
from role_lens.experiments.selection import Choice
from role_lens.finders._fit import check_prompts
from role_lens.models import Model
from role_lens.prompts import load_prompts, load_roles, role_name
from role_lens.vectors import RoleVectors

TokenIds = list[list[int]]


def prompt_tokens(
    model: Model,
    vectors: RoleVectors,
    prompts: Mapping[str, Sequence[str]] | None,
    base: Sequence[str] | None,
) -> tuple[dict[str, TokenIds], TokenIds] | None:
    """Token sequences of each role's prompts, and of the base prompts."""
    if (prompts is None) != (base is None):
        raise RoleLensError("give both prompts and base, or neither")
    asked_for = prompts is not None and base is not None
    if prompts is None or base is None:
        prompts, base = load_roles("builtin"), load_prompts("builtin")
    named = {role_name(role): list(some) for role, some in prompts.items()}
    try:
        check_prompts(vectors.provenance, named, base)
    except RoleLensError as error:
        if asked_for:
            raise RoleLensError(f"{error}; n_shuffled=0 goes without them") from error
        warnings.warn(
            "no directions from shuffled labels: they need the prompts that the vectors were "
            "fitted on (prompts and base)",
            stacklevel=3,
        )
        return None
    system = vectors.provenance["system"]
    of_roles = {role: encode_chat(model, some, system) for role, some in named.items()}
    return of_roles, encode_chat(model, base, system)


def shuffled_by_role(
    model: Model,
    vectors: RoleVectors,
    choices: Sequence[Choice],
    tokens: tuple[Mapping[str, TokenIds], TokenIds] | None,
    n: int,
    seed: int,
) -> dict[str, Float[Tensor, "n d_model"]]:
    """For each role, directions from its own and the base prompts with their labels mixed, at the
    chosen place."""
    if tokens is None:
        return {choice.role: torch.zeros((0, vectors.d_model)) for choice in choices}
    places = [(choice.layer, choice.position) for choice in choices]
    of_roles, of_base = tokens
    base = activations_at(model, of_base, places)
    directions = {}
    for place, choice in enumerate(choices):
        (own,) = activations_at(model, of_roles[choice.role], places[place : place + 1])
        own_seed = seed * len(vectors.roles) + vectors.role_index(choice.role)
        directions[choice.role] = shuffled_directions(own, base[place], n, seed=own_seed)
    return directions
