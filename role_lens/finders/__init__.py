"""Finds directions from prompts; each way of finding them, a finder, is one file.

    from role_lens.finders import FINDERS

    FINDERS.names                     # ("answers", "learned", "means", "pca", ...)
    RoleVectors.fit(model, roles, base, finder="pca")

A file defines `FINDER`, a frozen dataclass of the finder's options with a method `find(data)` that
gives directions by contrast; the file's name is the name of the finder.
The contrasts `base` and `roles` are differences of means, which every fit keeps. What a finder
returns under other names is kept beside them.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
