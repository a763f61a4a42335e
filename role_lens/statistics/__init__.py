"""Tests whether changes of scores may be chance; works on arrays alone.

    from role_lens.statistics import bootstrap_interval, sign_flip_test

    sign_flip_test(changes, alternative="greater").p_adjusted    # changes: candidate x question

`role_lens.experiments.read_changes` gives the changes of a sweep.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
