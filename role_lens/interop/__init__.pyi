from .export import EXPORTS, export_vectors
from .lm_eval import TaskResults, evaluate_tasks
from .lm_eval_options import TaskOptions
from .lm_eval_task import write_task

__all__ = [
    "EXPORTS",
    "TaskOptions",
    "TaskResults",
    "evaluate_tasks",
    "export_vectors",
    "write_task",
]
