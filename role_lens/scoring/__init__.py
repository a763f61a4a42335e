"""Scores what a model answers, patched or not.

    from role_lens.scoring import Asker, Asking

    asked = Asker(model, Asking(scoring="cloze")).ask(questions)    # tokenised once
    asked.scorer().logprobs([(patch,)])

Multiple-choice questions are scored by the likelihoods of their options, or by the answer that is
read from the model's text; `attribute` estimates what directions would do to the former. To add a
way of scoring options is to add a file to `role_lens.scoring.methods`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
