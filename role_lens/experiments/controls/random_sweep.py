"""Sweeps random directions at every place of a grid: the null band of a sweep.

    sweep_random(asked, vectors, "random", Grid(roles=("economist",)), n=20)

Nothing is chosen here; `choose_random` chooses.
"""

from pathlib import Path

import pandas as pd

from role_lens._run.exclusive import with_usual_defaults
from role_lens.checks import whole_number
from role_lens.experiments.controls.control_directions import rotation
from role_lens.experiments.options import Grid
from role_lens.experiments.sweeps import sweep_asked
from role_lens.scoring.asked import AskedQuestions
from role_lens.vectors import RoleVectors, check_vectors


@with_usual_defaults
def sweep_random(
    asked: AskedQuestions,
    vectors: RoleVectors,
    out: str | Path,
    grid: Grid,
    n: int,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Sweep a grid n times, each time with random directions of the same lengths.

    Each candidate of the grid stands beside n random directions at its place. A candidate that was
    chosen has to be compared with random directions that were chosen too, see `choose_random`.

    Args:
        asked: the questions, tokenised by `Asker.ask`.
        out: run folder, with a sweep in it for each random rotation of the vectors. A run that was
            stopped goes on where it was, with as many threads as it began with: the last bits of a
            rotation depend on them, and other vectors are refused.
        grid: as for `sweep`.
        n: number of random rotations.

    Returns:
        As `sweep`, without the baseline and with the `number` of the rotation.

    Raises:
        RoleLensError: n below 1, and all that `sweep` raises.

    Examples:
        >>> from role_lens.experiments import sweep_random
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(questions)
        >>> grid = Grid(roles=("poet",), layers=(1,), positions=(-1,))
        >>> sweep_random(asked, vectors, folder / "random", grid, 2)["number"].tolist()
        [0, 1]
    """
    check_vectors(vectors)
    n, seed = whole_number(n, "n", least=1), whole_number(seed, "seed", least=0)
    tables = []
    for number in range(n):
        turned = rotation(vectors, seed, number)
        effects = sweep_asked(asked, turned, Path(out) / f"rotation-{number}", grid)
        tables.append(effects.iloc[1:].assign(number=number))
    return pd.concat(tables, ignore_index=True)
