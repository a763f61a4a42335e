"""Defines what a finder is given, and lists the finders.

    FINDERS["means"]().find(data)    # {"base": directions, "roles": directions}

Finders are the other files of this folder.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from jaxtyping import Float
from torch import Tensor

from role_lens._registry import Registry
from role_lens._run.activations import activations_at
from role_lens.compute import Compute
from role_lens.errors import RoleLensError
from role_lens.models import Model
from role_lens.values import shown


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
        >>> FINDERS["means"]().find(data)["roles"].shape   # role, position, layer, d_model
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
    roles: tuple[str, ...] = ()
    """Names of the roles, in the order of `role_tokens`."""

    def activations(
        self, sequences: Sequence[Sequence[int]], layers: Sequence[int] | None = None
    ) -> Float[Tensor, "prompt position layer d_model"]:
        """Residual stream entering some blocks, of single prompts, float32.

        It takes one pass over the prompts, and memory for all of it: 4 bytes x prompts x positions
        x layers x d_model.

        Args:
            sequences: token ids of each prompt, such as `role_tokens` and `base_tokens` hold.
            layers: whose inputs are read; None for all.
        """
        layers = range(self.model.cfg.n_layers) if layers is None else layers
        places = [(layer, position) for position in self.positions for layer in layers]
        found = activations_at(self.model, sequences, places, self.compute.max_tokens)
        return found.unflatten(0, (len(self.positions), len(layers))).movedim(2, 0)


Directions: TypeAlias = Mapping[str, Float[Tensor, "role position layer d_model"]]
"""Raw directions by contrast; zero or NaN where there is none, as at layer 0 of most models."""


@dataclass(frozen=True)
class Finder(ABC):
    """A way of finding directions: a frozen dataclass, whose fields are its options.

    Examples:
        >>> from role_lens.finders import FINDERS
        >>> FINDERS["pca"](layers=(12, 15)).layers
        (12, 15)
    """

    from_prompts: ClassVar[bool] = True
    """Whether the directions depend on the prompts. If not, a fit finds them once, and all prompts
    are held out for their separation."""

    @abstractmethod
    def find(self, data: FitData) -> Directions:
        """Find directions, by contrast."""


FINDERS: Registry[Callable[..., Finder]] = Registry("role_lens.finders", "FINDER", "finder")
"""The finders, by the names of their files."""


def finder_of(finder: str | Finder) -> Finder:
    """A finder by its name, with its usual options, or as it is.

    Raises:
        RoleLensError: an unknown name, or something that finds nothing.
    """
    if isinstance(finder, str):
        return FINDERS[finder]()
    if not isinstance(finder, Finder):
        raise RoleLensError(
            f"finder must be a name, one of {', '.join(FINDERS.names)}, or a record such as "
            f"FINDERS['pca'](layers=(12,)), got {shown(finder)}"
        )
    return finder


def name_of(finder: Finder) -> str:
    """The name of a finder: that of its file, or of its class where it isn't one of ours."""
    for name in FINDERS.names:
        if type(finder) is FINDERS[name]:
            return name
    return type(finder).__name__
