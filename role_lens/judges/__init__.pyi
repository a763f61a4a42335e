from .endpoint import ask_and_keep, ask_endpoint
from .likelihood import (
    PERSONA_QUESTIONS,
    hit_rates,
    judged,
    names_role,
    own_ranks,
    persona_texts,
    ranks,
    role_likelihoods,
    share_naming_others,
)
from .steered_texts import fluency, repetition
from .telling import improving_and_telling, telling_rates

__all__ = [
    "PERSONA_QUESTIONS",
    "ask_and_keep",
    "ask_endpoint",
    "fluency",
    "hit_rates",
    "improving_and_telling",
    "judged",
    "names_role",
    "own_ranks",
    "persona_texts",
    "ranks",
    "repetition",
    "role_likelihoods",
    "share_naming_others",
    "telling_rates",
]
