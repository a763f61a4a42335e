"""Reads directions: what they say, how alike they are, and how far they depend on the prompts.

    from role_lens.reading import geometry_by_layer, logit_lens, patchscope

`logit_lens` and `patchscope` put a direction into words, `project_tokens` colours the tokens of a
text by it, `geometry_by_layer` and `role_tree` compare directions with each other,
`stability_by_number` with directions from other prompts, and `persona_shift` with what a system
message such as "You are a nurse." does.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
