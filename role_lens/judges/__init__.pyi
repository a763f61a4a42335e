from .endpoint import Endpoint, ask_and_keep, ask_endpoint
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
from .telling import improving_and_telling, telling_rates

__all__ = [
    "PERSONA_QUESTIONS",
    "Endpoint",
    "ask_and_keep",
    "ask_endpoint",
    "hit_rates",
    "improving_and_telling",
    "judged",
    "names_role",
    "own_ranks",
    "persona_texts",
    "ranks",
    "role_likelihoods",
    "share_naming_others",
    "telling_rates",
]
