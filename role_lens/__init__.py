"""Role vectors: find them in a language model, steer with them, and judge what they do."""

from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import Grid
from role_lens.experiments.comparison import compare
from role_lens.experiments.selection import select
from role_lens.experiments.sweep import read_sweep, sweep
from role_lens.generation import generate
from role_lens.models import load_model
from role_lens.patches.patch import Patch
from role_lens.prompts import load_prompts, load_roles
from role_lens.questions.question import (
    NumericQuestion,
    Question,
    load_numeric_questions,
    load_questions,
)
from role_lens.scoring.attribution import attribute
from role_lens.scoring.evaluate import evaluate, summarize
from role_lens.scoring.generated import Generation
from role_lens.vectors import RoleVectors

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
