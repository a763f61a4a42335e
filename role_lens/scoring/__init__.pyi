from .answers.letters import read_letter
from .answers.numbers import read_number
from .asked import AskedQuestions, Asker
from .asking import Asking
from .attribution import attribute
from .divergence import answer_logprobs, kl_divergence, mean_kl
from .evaluation import evaluate, summarize
from .generated import score_generated
from .generation_options import Generation
from .identity import content_hash, hash_of_patches, hash_of_vectors, model_identity
from .items import Item
from .margin import MarginDesign, margins
from .method import METHODS, ScoringMethod
from .neutral import NeutralPrompts

__all__ = [
    "METHODS",
    "AskedQuestions",
    "Asker",
    "Asking",
    "Generation",
    "Item",
    "MarginDesign",
    "NeutralPrompts",
    "ScoringMethod",
    "answer_logprobs",
    "attribute",
    "content_hash",
    "evaluate",
    "hash_of_patches",
    "hash_of_vectors",
    "kl_divergence",
    "margins",
    "mean_kl",
    "model_identity",
    "read_letter",
    "read_number",
    "score_generated",
    "summarize",
]
