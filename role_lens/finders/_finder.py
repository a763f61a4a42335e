"""Defines what a finder is given, and lists the finders.

    FINDERS["difference_of_means"](data)    # {"base": directions, "roles": directions}

Finders are the other files of this folder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from role_lens._registry import Registry
from role_lens._run.activations import activations_at
from role_lens.compute import Compute
from role_lens.models import Model


@dataclass(frozen=True)
class FitPrompts:
    """The prompts that role vectors are fitted on.

    Examples:
        >>> from role_lens.finders import FitPrompts
        >>> FitPrompts({"poet": ["Rhyme?"]}, ["Tea?"]).base
        ['Tea?']
    """

    roles: Mapping[str, Sequence[str]]
    """Role name -> its prompts."""
    base: Sequence[str]
    """Base prompts, which the roles are set against."""


@dataclass(frozen=True, eq=False)
class FitData:
    """What a finder finds directions from: model, tokens of the prompts, mean activations.

    Examples:
        >>> from role_lens.finders import FINDERS, FitData
        >>> tokens = [encode_chat(model, prompts) for prompts in (base, *roles.values())]
        >>> means = vectors.role_means, vectors.base_mean
        >>> data = FitData(model, vectors.positions, tokens[1:], tokens[0], *means)
        >>> FINDERS["difference_of_means"](data)["roles"].shape   # role, position, layer, d_model
        torch.Size([2, 2, 3, 32])
        >>> data.activations(tokens[0]).shape                     # prompt, position, layer, d_model
        torch.Size([3, 2, 3, 32])
    """

    model: Model
    positions: tuple[int, ...]
    """Token positions, negative, counted from the end of the formatted prompt."""
    role_tokens: Sequence[Sequence[Sequence[int]]]
    """For each role, the token ids of each of its prompts."""
    base_tokens: Sequence[Sequence[int]]
    """Token ids of each base prompt."""
    role_means: Float[Tensor, "role position layer d_model"]
    """Mean residual stream entering each block, over each role's prompts."""
    base_mean: Float[Tensor, "position layer d_model"]
    """The same over the base prompts."""
    compute: Compute = Compute()
    """Batches and progress of the fit."""

    def activations(
        self, sequences: Sequence[Sequence[int]]
    ) -> Float[Tensor, "prompt position layer d_model"]:
        """Residual stream entering every block, of single prompts, float32.

        It takes one pass over the prompts, and memory for all of it: 4 bytes x prompts x positions
        x layers x d_model.

        Args:
            sequences: token ids of each prompt, such as `role_tokens` and `base_tokens` hold.
        """
        n_layers = self.model.cfg.n_layers
        places = [(layer, position) for position in self.positions for layer in range(n_layers)]
        found = activations_at(self.model, sequences, places, self.compute.max_tokens)
        return found.unflatten(0, (len(self.positions), n_layers)).movedim(2, 0)


Finder: TypeAlias = Callable[[FitData], Mapping[str, Float[Tensor, "role position layer d_model"]]]
"""A function that gives raw directions by contrast; zero or NaN where there is none, as at layer 0
of most models."""

FINDERS: Registry[Finder] = Registry("role_lens.finders", "find", "finder")
"""The finders, by the names of their files."""
