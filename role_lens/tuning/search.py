"""Looks for the best of all strengths at which no guard is broken.

    trials = search(trial, TuneOptions())    # strength -> what was found there
    best(trials)

It knows nothing of models: `trial` says what a strength does.
"""

import math
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar, runtime_checkable

from role_lens.tuning.options import TuneOptions


@runtime_checkable
class Trial(Protocol):
    """What a strength does."""

    @property
    def broken(self) -> str:
        """The guard that it breaks, or an empty string."""

    @property
    def aim(self) -> float:
        """How near it comes to what is wanted, more being better."""


Found = TypeVar("Found", bound=Trial)


def search(trial: Callable[[float], Found], options: TuneOptions) -> dict[float, Found]:
    """Try strengths: none, then twice as much each time until a guard breaks, then halving the
    interval in which it does, then the gaps beside the best.

    Strengths above the smallest one that breaks a guard are never chosen, even if they break none.

    Args:
        trial: tries a strength.
        options: where it begins and how finely it looks.

    Returns:
        Strength -> what was found, in the order of the strengths.
    """
    found = {0.0: trial(0.0)}
    low, high, strength = 0.0, math.inf, options.start
    while strength <= options.most:
        found[strength] = trial(strength)
        if found[strength].broken:
            high = strength
            break
        low, strength = strength, 2 * strength
    if high < math.inf:
        for _ in range(options.bisections):
            middle = (low + high) / 2
            found[middle] = trial(middle)
            low, high = (low, middle) if found[middle].broken else (middle, high)
    for _ in range(options.refinements):
        chosen = best(found)
        if chosen is None:
            break
        ordered = sorted(found)
        place = ordered.index(chosen)
        for other in ordered[max(place - 1, 0) : place + 2]:
            middle = (chosen + other) / 2
            if other != chosen and not found[other].broken:
                found[middle] = trial(middle)
    return dict(sorted(found.items()))


def best(found: Mapping[float, Trial]) -> float | None:
    """The strength above 0 that comes nearest to the aim, below the first that breaks a guard; the
    smallest of those that come equally near. None if none comes nearer than strength 0."""
    first = min((strength for strength, one in found.items() if one.broken), default=math.inf)
    within = [strength for strength in sorted(found) if 0 < strength < first]
    chosen = max(within, key=lambda strength: found[strength].aim, default=0.0)
    return chosen if found[chosen].aim > found[0.0].aim else None
