"""Finds directions as differences of mean activations, as arXiv 2502.12055, section 3, does.

Contrast `base`: mean of the role's prompts minus mean of the base prompts. Contrast `roles`: minus
the mean of the other roles' means, so that what all roles share cancels; with two roles or more.
"""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from role_lens.directions import MEAN_CONTRASTS, difference_of_means
from role_lens.finders._finder import FitData


def find(data: FitData) -> Mapping[str, Float[Tensor, "role position layer d_model"]]:
    """Differences of means for both contrasts, or for `base` alone of a single role.

    Costs nothing beyond the means, which every fit takes.
    """
    contrasts = MEAN_CONTRASTS if len(data.role_means) > 1 else MEAN_CONTRASTS[:1]
    return {
        contrast: difference_of_means(data.role_means, data.base_mean, contrast)
        for contrast in contrasts
    }
