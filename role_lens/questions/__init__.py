"""What is asked: questions, where they come from, their domains, and how they are divided.

    from role_lens.questions import SOURCES, split_questions

To add a source is to add a file to `role_lens.questions.sources`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
