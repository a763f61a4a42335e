"""Which role is a text about? As the model itself ranks them, or another one behind an endpoint.

from role_lens.judges import judged, ask_endpoint
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
