"""What random directions do at every layer: the null band of a sweep.

Knows sweeps, not what they are compared with.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import Grid
from role_lens.experiments.controls import rotated
from role_lens.experiments.sweep import sweep
from role_lens.models import Model
from role_lens.questions.question import Question
from role_lens.vectors import RoleVectors


def sweep_random(
    model: Model,
    vectors: RoleVectors,
    questions: Sequence[Question],
    out: str | Path,
    grid: Grid,
    n: int,
    *,
    seed: int = 0,
    **asking: Any,
) -> pd.DataFrame:
    """A sweep in which every direction is a random one of the same length, n times.

    Nothing is chosen here: each candidate of the grid stands beside n random ones at its place. A
    chosen candidate has to be held against chosen ones, see `role_lens.experiments.null_band`.

    Args:
        out: folder for the results, one sweep in it for each random rotation of the vectors; a run
            that was stopped goes on, with as many threads as it began with: the last bits of a
            rotation depend on them, and other vectors are refused.
        grid, asking: as for `sweep`.

    Returns:
        As `sweep`, without the baseline and with the `number` of the rotation.

    Raises:
        RoleLensError: n below 1, and all that `sweep` raises.
    """
    if n < 1:
        raise RoleLensError(f"a null band needs at least one random direction, got {n}")
    tables = []
    for number in range(n):
        # Numbers of a seed's own, and the same when n grows: what is finished stays valid.
        turned = rotated(vectors, seed=1_000_000 * seed + number)
        effects = sweep(model, turned, questions, Path(out) / f"rotation-{number}", grid, **asking)
        tables.append(effects.iloc[1:].assign(number=number))
    return pd.concat(tables, ignore_index=True)
