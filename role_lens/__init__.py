"""Role vectors: find them in a language model, steer with them, and judge what they do."""

from role_lens.errors import RoleLensError
from role_lens.evaluation.attribution import attribute
from role_lens.evaluation.comparison import compare
from role_lens.evaluation.generated import Generation
from role_lens.evaluation.grid import Grid
from role_lens.evaluation.questions import (
    NumericQuestion,
    Question,
    load_numeric_questions,
    load_questions,
)
from role_lens.evaluation.scoring import evaluate, summarize
from role_lens.evaluation.selection import select
from role_lens.evaluation.sweep import read_sweep, sweep
from role_lens.generation import generate
from role_lens.models import load_model
from role_lens.patches import Patch
from role_lens.prompts import load_prompts, load_roles
from role_lens.role_vectors import RoleVectors

__all__ = [
    "Generation",
    "Grid",
    "NumericQuestion",
    "Patch",
    "Question",
    "RoleLensError",
    "RoleVectors",
    "attribute",
    "compare",
    "evaluate",
    "generate",
    "load_model",
    "load_numeric_questions",
    "load_prompts",
    "load_questions",
    "load_roles",
    "read_sweep",
    "select",
    "summarize",
    "sweep",
]
