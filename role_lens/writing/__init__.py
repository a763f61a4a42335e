"""Has a model write what directions are found in: prompts of a role, and answers in it.

    from role_lens.writing import write_answers, write_prompts

    write_prompts(model, "beekeeper", "my_prompts").account()
    write_answers(model, ["economist", "nurse"], "answers")

`role-lens fit` makes directions of either.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
