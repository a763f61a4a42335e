"""Is it chance? Tests, intervals and resampling of arrays of changes.

from role_lens.statistics import sign_flip_test, bootstrap_interval
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
