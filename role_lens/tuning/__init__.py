"""Finds how strongly a patch can be put on before the texts break.

    from role_lens.tuning import tune

    tuned = tune(model, vectors.add("economist", layer=22), "tuned", role="economist")
    tuned.strength, tuned.ended_by

`role-lens tune` does the same.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
