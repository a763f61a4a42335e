"""What a finder is given, and the list of finders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from role_lens._registry import Registry
from role_lens._run.activations import activations_at
from role_lens.models import Model


@dataclass(frozen=True)
class FitPrompts:
    """The prompts that vectors are fitted on.

    Example:
        >>> FitPrompts({"poet": ["Rhyme?"]}, ["Tea?"]).base
        ['Tea?']
    """

    roles: Mapping[str, Sequence[str]]
    """Role name -> its prompts."""
    base: Sequence[str]
    """Contrast prompts."""


@dataclass(frozen=True, eq=False)
class FitData:
    """What a finder finds directions from: tokens of the prompts, and their mean activations."""

    model: Model
    positions: tuple[int, ...]
    """Token positions, negative, from the end of the formatted prompt."""
    role_tokens: Sequence[Sequence[Sequence[int]]]
    """Per role, the token ids of each of its prompts."""
    base_tokens: Sequence[Sequence[int]]
    role_means: Float[Tensor, "role position layer d_model"]
    base_mean: Float[Tensor, "position layer d_model"]

    def activations(
        self, sequences: Sequence[Sequence[int]]
    ) -> Float[Tensor, "prompt position layer d_model"]:
        """The residual stream entering every block, of single prompts, float32: one pass over
        them. All of it is held in memory: 4 bytes x prompts x positions x layers x d_model."""
        n_layers = self.model.cfg.n_layers
        places = [(layer, position) for position in self.positions for layer in range(n_layers)]
        found = activations_at(self.model, sequences, places)
        return found.unflatten(0, (len(self.positions), n_layers)).movedim(2, 0)


Finder: TypeAlias = Callable[[FitData], Mapping[str, Float[Tensor, "role position layer d_model"]]]
"""Gives raw directions by contrast; zero or NaN where there is none (layer 0 of most models)."""

FINDERS: Registry[Finder] = Registry("role_lens.finders", "find", "finder")
