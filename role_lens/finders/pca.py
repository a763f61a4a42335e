"""Finds directions as the first principal component of differences between prompts.

- Contrast `pca`: differences of the role's prompts and base prompts, pair by pair; the direction
  along which they are largest (representation engineering, Zou et al. 2023, arXiv 2310.01405; the
  aggregator `pca` of steering-vectors), or with `centred` that along which they vary most, without
  their mean (the method `pca_diff` of repeng).

Prompts here are no pairs that differ in one thing, so that the i-th prompt of a role is paired with
a base prompt from the same place of their list. Where a role differs from the base by its mean
above all, the centred component is quite another direction. It takes another pass over the prompts,
and seconds for the decompositions.
"""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.finders._finder import Directions, Finder, FitData
from role_lens.finders._places import at_places, pairs, set_layers


def component(
    role: Float[Tensor, "role_prompt d_model"],
    base: Float[Tensor, "base_prompt d_model"],
    *,
    centred: bool = False,
) -> Float[Tensor, " d_model"]:
    """The unit vector along which differences of pairs are largest; its sign means nothing."""
    own, others = pairs(role, base)
    difference = (own - others).double()
    if centred:
        difference = difference - difference.mean(dim=0)
    _, _, components = torch.linalg.svd(difference, full_matrices=False)
    return components[0].float()


@dataclass(frozen=True)
class PCA(Finder):
    """The first principal component at every place, for contrast `pca`.

    Raises:
        RoleLensError: layers that are no whole numbers, or that the model doesn't have.

    Examples:
        >>> from role_lens.finders import FINDERS
        >>> found = RoleVectors.fit(model, roles, base, finder=FINDERS["pca"](layers=(1,)))
        >>> found.contrasts
        ('base', 'roles', 'pca')
    """

    layers: tuple[int, ...] | None = None
    """Layers at which directions are found; None for all."""
    centred: bool = False
    """Take the mean of the differences out before, as repeng does."""

    def __post_init__(self) -> None:
        set_layers(self)

    def find(self, data: FitData) -> Directions:
        """Find a direction at every place, for contrast `pca`."""
        return {"pca": at_places(data, partial(component, centred=self.centred), self.layers)}


FINDER = PCA
