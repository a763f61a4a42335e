"""Finds directions from prompts; each way of finding them, a finder, is one file.

    from role_lens.finders import FINDERS

    FINDERS.names                                   # ("difference_of_means",)
    RoleVectors.fit(model, roles, base, finder="difference_of_means")

A file defines `find(data: FitData) -> {contrast: directions}`; its name is the name of the finder.
The contrasts `base` and `roles` are differences of means, which every fit keeps. What a finder
returns under other names is kept beside them.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
