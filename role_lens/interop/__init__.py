"""Vectors and questions in other programs.

    from role_lens.interop import evaluate_tasks, export_vectors

To add a file format is to add a file to `role_lens.interop.exports`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
