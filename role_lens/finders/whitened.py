"""Finds directions as differences of means, seen in units of how much activations vary anyway.

- Contrast `whitened`: Σ⁻¹(mean of the role - mean of the base), Fisher's linear discriminant, with
  Σ the covariance within both groups, shrunk as Ledoit and Wolf (2004) do, since there are fewer
  prompts than dimensions. A dimension that varies much from prompt to prompt counts less.

A difference of means is misled by such dimensions, whitening is not; but what tells roles apart
best needn't be what moves the model most. It takes another pass over the prompts, and some
hundredths of a second for every role, layer and position.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.finders._finder import Directions, Finder, FitData
from role_lens.finders._places import at_places, set_layers


def discriminant(
    role: Float[Tensor, "role_prompt d_model"], base: Float[Tensor, "base_prompt d_model"]
) -> Float[Tensor, " d_model"]:
    """Fisher's discriminant of two groups, with a shrunk covariance."""
    from sklearn.covariance import ledoit_wolf

    role, base = role.double(), base.double()
    means = [some.mean(dim=0) for some in (role, base)]
    within = torch.cat([role - means[0], base - means[1]])
    covariance, _ = ledoit_wolf(within.numpy(), assume_centered=True)
    return torch.linalg.solve(torch.from_numpy(covariance), means[0] - means[1]).float()


@dataclass(frozen=True)
class Whitened(Finder):
    """The whitened difference of means at every place, for contrast `whitened`.

    Raises:
        RoleLensError: layers that are no whole numbers, or that the model doesn't have.

    Examples:
        >>> from role_lens.finders import FINDERS
        >>> found = RoleVectors.fit(model, roles, base, finder=FINDERS["whitened"](layers=(1,)))
        >>> found.contrasts
        ('base', 'roles', 'whitened')
    """

    layers: tuple[int, ...] | None = None
    """Layers at which directions are found; None for all."""

    def __post_init__(self) -> None:
        set_layers(self)

    def find(self, data: FitData) -> Directions:
        """Find a direction at every place, for contrast `whitened`."""
        return {"whitened": at_places(data, discriminant, self.layers)}


FINDER = Whitened
