"""What the model answers under patches: likelihoods of options, estimates, and answers that are read
from its text.

    from role_lens.scoring import Asking, Asker, attribute

To add a way of scoring options is to add a file to `role_lens.scoring.methods`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
