"""Judges which role a text is about, by the model itself or by another one over HTTP.

    from role_lens.judges import hit_rates, judged, persona_texts

`judged` ranks the roles as the unchanged model sees them, and `ask_endpoint` asks another model
over HTTP. `persona_texts`, whose role is known, and `hit_rates` tell how good a role judge is;
`telling_rates` and `improving_and_telling` count what it finds.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
