"""Loads questions, tells their domains, and divides them.

    from role_lens.questions import load_questions, split_questions

    choosing, testing = split_questions(load_questions("builtin", domain="econ"), 0.5, seed=0)

Directions are chosen on some questions and tested on others. To add a source of questions is to add
a file to `role_lens.questions.sources`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
