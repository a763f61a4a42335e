"""Spreads what a patch does at one layer over the layers around it.

    layer_weights("bell:2", layer=15, n_layers=30)    # {11: 0.03, 12: 0.07, ..., 15: 0.2, ...}

A schedule is written as `one` (that layer alone), `range:W` (W layers on each side, all alike) or
`bell:W` (a normal distribution with a standard deviation of W layers, as far as 2 W on each side).
The weights sum to 1, so that a coefficient adds as much in all as it would at one layer.
"""

import math
import re

from role_lens.errors import RoleLensError
from role_lens.values import shown

ONE = "one"
"""The schedule of a single layer."""
_SPREAD = re.compile(r"(range|bell):([1-9][0-9]{0,3})")


def check_schedule(schedule: str) -> None:
    """Raise a RoleLensError unless this is a schedule.

    Examples:
        >>> from role_lens.schedule import check_schedule
        >>> check_schedule("range:2")    # says nothing: it is one
    """
    if not isinstance(schedule, str) or not (schedule == ONE or _SPREAD.fullmatch(schedule)):
        raise RoleLensError(
            "a schedule must be one (a layer alone), range:W (W layers on each side) or bell:W (a "
            f"standard deviation of W layers), such as bell:2; got {shown(schedule)}"
        )


def layer_weights(schedule: str, layer: int, n_layers: int) -> dict[int, float]:
    """Weights of the layers around one of them; they sum to 1.

    Args:
        schedule: `one`, `range:W` or `bell:W`.
        layer: the layer in the middle, counted from 0.
        n_layers: number of the model's layers; where the schedule goes beyond them, the layers that
            there are take its share.

    Raises:
        RoleLensError: no such schedule, or no such layer.

    Examples:
        >>> from role_lens.schedule import layer_weights
        >>> layer_weights("range:1", layer=1, n_layers=6) == {0: 1 / 3, 1: 1 / 3, 2: 1 / 3}
        True
        >>> {at: round(w, 2) for at, w in layer_weights("bell:1", layer=0, n_layers=6).items()}
        {0: 0.57, 1: 0.35, 2: 0.08}
    """
    check_schedule(schedule)
    if not 0 <= layer < n_layers:
        raise RoleLensError(f"layer must be at least 0 and below {n_layers}, got {layer}")
    spread = _SPREAD.fullmatch(schedule)
    if spread is None:
        return {layer: 1.0}
    width = int(spread[2])
    reach = width if spread[1] == "range" else 2 * width
    around = range(max(0, layer - reach), min(n_layers, layer + reach + 1))
    if spread[1] == "range":
        return {at: 1 / len(around) for at in around}
    heights = {at: math.exp(-((at - layer) ** 2) / (2 * width**2)) for at in around}
    total = sum(heights.values())
    return {at: height / total for at, height in heights.items()}
