from . import (
    directions,
    experiments,
    finders,
    interop,
    judges,
    patches,
    questions,
    reading,
    reporting,
    scoring,
    statistics,
    tuning,
    writing,
)
from ._run.activations import activations_at
from ._run.tokens import encode_chat
from .chat import chat_text
from .compute import Compute
from .conversation import Conversation
from .direction_spec import DirectionSpec
from .endpoint import Endpoint
from .errors import RoleLensError
from .experiments.comparison import compare
from .experiments.options import Exam, Grid, Selection, TestPlan
from .experiments.selection import select
from .experiments.sweeps import read_sweep, sweep
from .generation import Sampling, generate
from .models import load_model
from .patches.gate import Gate
from .patches.patch import Patch
from .prompts import NEUTRAL_PERSONA, load_prompts, load_roles, persona_prompts, spread
from .questions.loading import load_numeric_questions, load_questions
from .questions.question import NumericQuestion, Question
from .scoring.asking import Asking
from .scoring.attribution import attribute
from .scoring.evaluation import evaluate, summarize
from .scoring.generation_options import Generation
from .vectors import RoleVectors

__version__: str
__all__ = [
    "NEUTRAL_PERSONA",
    "Asking",
    "Compute",
    "Conversation",
    "DirectionSpec",
    "Endpoint",
    "Exam",
    "Gate",
    "Generation",
    "Grid",
    "NumericQuestion",
    "Patch",
    "Question",
    "RoleLensError",
    "RoleVectors",
    "Sampling",
    "Selection",
    "TestPlan",
    "activations_at",
    "attribute",
    "chat_text",
    "compare",
    "directions",
    "encode_chat",
    "evaluate",
    "experiments",
    "finders",
    "generate",
    "interop",
    "judges",
    "load_model",
    "load_numeric_questions",
    "load_prompts",
    "load_questions",
    "load_roles",
    "patches",
    "persona_prompts",
    "questions",
    "read_sweep",
    "reading",
    "reporting",
    "scoring",
    "select",
    "spread",
    "statistics",
    "summarize",
    "sweep",
    "tuning",
    "writing",
]
