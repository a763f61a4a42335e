from .baking import bake
from .export import EXPORTS, export_patch
from .hub import contents_for, push, written
from .import_options import ImportOptions
from .imported import CONTRAST, IMPORTS, import_vectors
from .layer_additions import additions
from .lm_eval import TaskResults, evaluate_tasks
from .lm_eval_options import TaskOptions
from .lm_eval_task import write_task
from .push_options import PushOptions

__all__ = [
    "CONTRAST",
    "EXPORTS",
    "IMPORTS",
    "ImportOptions",
    "PushOptions",
    "TaskOptions",
    "TaskResults",
    "additions",
    "bake",
    "contents_for",
    "evaluate_tasks",
    "export_patch",
    "import_vectors",
    "push",
    "write_task",
    "written",
]
