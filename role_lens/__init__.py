"""Role vectors: find them in a language model, steer the model with them, and judge what they do.

A role vector is a direction in the residual stream that stands for a role, such as economist: the
mean activation of prompts that an economist would ask, minus that of other prompts (arXiv
2502.12055).

    from role_lens import RoleVectors, load_model, load_prompts, load_roles

    model = load_model("smollm2-135m-instruct")
    vectors = RoleVectors.fit(model, load_roles("builtin"), load_prompts("builtin"))
    with vectors.add("economist", layer=15).on(model): ...

This module holds the names that most work needs. The subpackages hold these and more:

- `finders`, `patches`: ways of finding directions, and ways of changing the residual stream;
- `questions`, `scoring`, `statistics`: what is asked, how the model answers, and whether it is
  chance;
- `experiments`: sweeps, selection of directions, and comparisons with controls;
- `reading`, `judges`: what directions say, and who judges the texts that a patched model writes;
- `writing`: prompts and answers that a model writes, to find directions in;
- `interop`, `reporting`: exports and lm-eval; figures and reports.

A name is imported when it is first used (SPEC 1), so that `import role_lens` is quick.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
__version__ = "0.1.0"
