"""Takes role vectors and questions to other programs, and other programs' vectors.

    from role_lens.interop import evaluate_tasks, export_patch, import_vectors, write_task

`evaluate_tasks` runs any task of lm-eval on a patched model, `write_task` makes a task of
questions, `export_patch` writes patches in other file formats, `import_vectors` reads them, `bake`
puts them into weights, and `push` puts them on the hub. To add a file format is to add a file to
`role_lens.interop.exports` or `imports`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
