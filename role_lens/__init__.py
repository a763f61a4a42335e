"""Role vectors: find them in a language model, steer with them, and judge what they do.

    from role_lens import RoleVectors, load_model, load_prompts, load_roles

    model = load_model("smollm2-135m-instruct")
    vectors = RoleVectors.fit(model, load_roles("builtin"), load_prompts("builtin"))
    with vectors.add("economist", layer=15).on(model): ...

Names load what they need when they are first used (SPEC 1), so that `import role_lens` is quick.
More is in the subpackages `questions`, `scoring`, `statistics`, `experiments`, `reading`, `judges`,
`interop` and `reporting`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
__version__ = "0.1.0"
