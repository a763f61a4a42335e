"""Finds directions as differences of mean activations, as arXiv 2502.12055, section 3, does.

- Contrast `base`: mean of the role's prompts minus mean of the base prompts.
- Contrast `roles`: mean of the role's prompts minus the mean of the other roles' means, so that
  what all roles share cancels; only where there are two roles or more.
"""

from dataclasses import dataclass

from role_lens.directions import MEAN_CONTRASTS, difference_of_means
from role_lens.finders._finder import Directions, Finder, FitData


@dataclass(frozen=True)
class Means(Finder):
    """Differences of means for both contrasts, or for `base` alone where there is a single role.

    They cost nothing beyond the means, which every fit takes.

    Examples:
        >>> from role_lens.finders import FINDERS
        >>> RoleVectors.fit(model, roles, base, finder=FINDERS["means"]()).contrasts
        ('base', 'roles')
    """

    def find(self, data: FitData) -> Directions:
        """Find the differences of means, by contrast."""
        contrasts = MEAN_CONTRASTS if len(data.role_means) > 1 else MEAN_CONTRASTS[:1]
        return {
            contrast: difference_of_means(data.role_means, data.base_mean, contrast)
            for contrast in contrasts
        }


FINDER = Means
