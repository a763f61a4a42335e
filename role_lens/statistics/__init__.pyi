from .associations import Association, association
from .paired import (
    SignFlipTest,
    bootstrap_interval,
    mcnemar,
    q_values,
    sign_flip_test,
    smallest_detectable,
)
from .random_band import AgainstRandom, PooledExcess, against_random
from .selection_bias import BestOfMany, best_of_many

__all__ = [
    "AgainstRandom",
    "Association",
    "BestOfMany",
    "PooledExcess",
    "SignFlipTest",
    "against_random",
    "association",
    "best_of_many",
    "bootstrap_interval",
    "mcnemar",
    "q_values",
    "sign_flip_test",
    "smallest_detectable",
]
