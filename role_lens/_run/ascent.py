"""Climbs to the vector of bounded length that is worth most, step by step, so that a run can go on.

    ascent = Ascent(length=3.0, steps=20, rate=0.2, momentum=0.8, patience=3)
    ascend(ascent, zero, gradient, gain, keep)    # the best vector on the way

Each step goes along the gradient, with momentum, and is cut to the bounded length (projected
gradient ascent). What a step is worth is measured on what the gradient doesn't see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.checks import real_number, whole_number
from role_lens.errors import RoleLensError

Kept = Callable[[int, Callable[[], Tensor]], Tensor]
"""Gives what was kept under a number, or makes and keeps it."""


@dataclass(frozen=True)
class Ascent:
    """How far, and in which steps.

    Raises:
        RoleLensError: a number out of range.
    """

    length: float
    """Largest length of the vector."""
    steps: int
    """Most steps."""
    rate: float
    """Length of the first step, as a share of the largest length; the last one's is a tenth."""
    momentum: float
    """Share of the earlier direction in each step."""
    patience: int
    """After how many steps without a larger gain it stops."""
    least: float = -torch.inf
    """The gain of no vector, which a step has to exceed."""

    def __post_init__(self) -> None:
        for name in ("steps", "patience"):
            number = whole_number(getattr(self, name), name, least=1)
            object.__setattr__(self, name, number)
        for name in ("rate", "momentum"):
            value = real_number(getattr(self, name), name)
            object.__setattr__(self, name, value)
            if not 0 <= value <= 1:
                raise RoleLensError(f"{name} must be between 0 and 1, got {value:g}")
        if self.rate == 0 or self.momentum == 1:
            raise RoleLensError(
                f"rate must be above 0 and momentum below 1, got {self.rate:g} and "
                f"{self.momentum:g}"
            )
        object.__setattr__(self, "length", real_number(self.length, "length"))
        if not self.length > 0:
            raise RoleLensError(f"length must be above 0, got {self.length:g}")


def ascend(
    ascent: Ascent,
    zero: Float[Tensor, " d_model"],
    gradient: Callable[[Float[Tensor, " d_model"]], Float[Tensor, " d_model"]],
    gain: Callable[[Float[Tensor, " d_model"]], float],
    keep: Kept,
) -> Float[Tensor, " d_model"]:
    """Climb from zero, and give the vector with the largest gain; zero if no step exceeds `least`,
    or the gradient is zero.

    Args:
        zero: where it begins.
        gradient: of a vector.
        gain: what a vector is worth on what is held out.
        keep: keeps each step by its number: the vector, the direction of the step, and its gain.

    Raises:
        RoleLensError: a gradient or a gain that isn't finite.
    """

    def step(number: int, vector: Tensor, moved: Tensor) -> Tensor:
        slope = gradient(vector)
        _check_finite(slope)
        if not slope.any():
            return torch.stack([vector, torch.zeros_like(moved), torch.zeros_like(vector)])
        moved = ascent.momentum * moved + (1 - ascent.momentum) * slope / slope.norm()
        rate = ascent.length * ascent.rate * 0.1 ** (number / max(1, ascent.steps - 1))
        vector = vector + rate * moved / moved.norm()
        vector = vector * min(1.0, ascent.length / float(vector.norm()))
        gains = torch.full_like(vector, gain(vector))
        _check_finite(gains)
        return torch.stack([vector, moved, gains])

    vector, moved, best, since = zero, torch.zeros_like(zero), (ascent.least, zero), 0
    for number in range(ascent.steps):
        vector, moved, gains = keep(number, partial(step, number, vector, moved))
        if not moved.any():  # there is nothing to climb
            break
        worth = float(gains[0])
        best, since = ((worth, vector), 0) if worth > best[0] else (best, since + 1)
        if since == ascent.patience:
            break
    return best[1]


def _check_finite(tensor: Tensor) -> None:
    if not bool(tensor.isfinite().all()):
        raise RoleLensError(
            "nothing can be learned: a gradient or a gain isn't finite; take a model in float32"
        )
