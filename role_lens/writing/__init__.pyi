from .answer_options import SHARED_QUESTIONS, AnswerOptions
from .personas import load_personas
from .prompt_options import TASKS, PromptOptions
from .role_answers import write_answers
from .role_prompts import WrittenPrompts, write_prompts
from .sifting import LeftOut

__all__ = [
    "SHARED_QUESTIONS",
    "TASKS",
    "AnswerOptions",
    "LeftOut",
    "PromptOptions",
    "WrittenPrompts",
    "load_personas",
    "write_answers",
    "write_prompts",
]
