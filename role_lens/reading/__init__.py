"""What does a direction say? Logit lens, patchscopes, geometry, stability, tokens by projection.

from role_lens.reading import logit_lens, patchscope
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
