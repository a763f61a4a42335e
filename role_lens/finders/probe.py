"""Finds directions as the weights of a logistic regression that tells roles from base prompts.

- Contrast `probe`: a linear probe (Alain and Bengio 2016, arXiv 1610.01644) of the role's prompts
  against the base prompts, scikit-learn's with its usual penalty; or with `paired` of what sets the
  prompts of a pair apart (the aggregator `logistic` of steering-vectors). The i-th prompt of a role
  is then paired with a base prompt from the same place of their list.

A probe looks for what tells best, which needn't be what the model uses: it may rest on a small
difference that never fails (Marks and Tegmark 2023, arXiv 2310.06824, compare it with means). It
takes another pass over the prompts, and about a tenth of a second for every role, layer and
position: choose layers.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.finders._finder import Directions, Finder, FitData
from role_lens.finders._places import at_places, pairs, set_layers

_ITERATIONS = 1000


def weights(
    role: Float[Tensor, "role_prompt d_model"],
    base: Float[Tensor, "base_prompt d_model"],
    *,
    paired: bool = False,
) -> Float[Tensor, " d_model"]:
    """The weights of a logistic regression of role (1) against base (0)."""
    from sklearn.linear_model import LogisticRegression

    if paired:
        role, base = pairs(role, base)
        half = (role - base) / 2
        role, base = half, -half
    labels = np.repeat([1, 0], [len(role), len(base)])
    fitted = LogisticRegression(max_iter=_ITERATIONS, fit_intercept=not paired).fit(
        torch.cat([role, base]).numpy(), labels
    )
    return torch.from_numpy(fitted.coef_[0]).float()


@dataclass(frozen=True)
class Probe(Finder):
    """The weights of a probe at every place, for contrast `probe`.

    Raises:
        RoleLensError: layers that are no whole numbers, or that the model doesn't have.

    Examples:
        >>> from role_lens.finders import FINDERS
        >>> found = RoleVectors.fit(model, roles, base, finder=FINDERS["probe"](layers=(1,)))
        >>> found.contrasts
        ('base', 'roles', 'probe')
    """

    layers: tuple[int, ...] | None = None
    """Layers at which directions are found; None for all."""
    paired: bool = False
    """Take the mean of each pair of a role and a base prompt out before."""

    def __post_init__(self) -> None:
        set_layers(self)

    def find(self, data: FitData) -> Directions:
        """Find a direction at every place, for contrast `probe`."""
        return {"probe": at_places(data, partial(weights, paired=self.paired), self.layers)}


FINDER = Probe
