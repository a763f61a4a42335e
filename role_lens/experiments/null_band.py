"""Random directions that were chosen as the roles' own were: the null band.

The best of many random directions does more than any one of them, so a chosen direction has to be
held against chosen ones. Knows nothing of the questions that test them.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from role_lens.experiments.candidates import Grid, cells_of, patches_of
from role_lens.experiments.controls import rotated
from role_lens.experiments.identity import hash_of_vectors, run_identity
from role_lens.experiments.screening import by_estimate, kept_gradient
from role_lens.experiments.selection import neutral_kl, within_layers
from role_lens.experiments.store import content_hash, kept_table
from role_lens.files import make_folder
from role_lens.models import Model
from role_lens.patches.patch import Patch
from role_lens.questions.question import Question
from role_lens.vectors import RoleVectors

_COLUMNS = ["role", "number", "layer", "coefficient", "direction"]


@dataclass(frozen=True, eq=False)
class RandomChoice:
    """A random direction in the place of a role's."""

    role: str
    number: int
    layer: int
    coefficient: float
    direction: Float[Tensor, " d_model"]

    @property
    def patch(self) -> Patch:
        return Patch.add(self.direction, layer=self.layer, coefficient=self.coefficient)


def choose_random(
    model: Model,
    vectors: RoleVectors,
    questions: Sequence[Question],
    out: str | Path,
    grid: Grid,
    n: int,
    *,
    most_tries: int | None,
    max_kl: float | None,
    leave_out_last: float | None,
    neutral: Sequence[str] | None,
    seed: int,
    **asking: Any,
) -> list[RandomChoice]:
    """n random directions for each role of a grid, each the best of as many as the role had.

    All of a role's candidates are turned by one random rotation, which keeps their lengths and
    the angles between them, and the best of them within the guards is taken, as `select` does; but
    by the estimate of its effect alone, from one gradient for all of them. The roles share the
    rotations, as they share their questions.

    Args:
        out: the folder of `select`; they are kept there, a file for each rotation, for a run that
            goes on.
        most_tries: how many of the best estimated directions are tried, at all coefficients, for
            one within `max_kl`; None for all.
        grid, max_kl, leave_out_last, neutral, asking: as for `select`.

    Returns:
        Of each role as many as had any direction within the limit, at most n.
    """
    identity = run_identity(model, questions, **asking)
    options = {"max_kl": max_kl, "leave_out_last": leave_out_last, "n": n, "seed": seed}
    options["most_tries"] = most_tries
    grid = within_layers(grid, vectors.n_layers, leave_out_last)
    key = content_hash(identity, hash_of_vectors(vectors), asdict(grid), options, neutral)
    folder = make_folder(out)

    @cache
    def gradient() -> Float[Tensor, "layer d_model"]:
        return kept_gradient(folder, identity, model, questions, **asking)

    @cache
    def kl() -> Callable[[Patch], float]:
        return neutral_kl(model, neutral, **asking)

    def choose(number: int) -> pd.DataFrame:
        # Rotations are numbered across seeds, so that no two seeds share one of as many.
        turned = rotated(vectors, seed=seed * n + number)
        ranked = by_estimate(turned, cells_of(turned, grid), gradient(), most_tries)
        chosen = []
        for role, cells in ranked.items():
            for cell in cells:
                (patch,) = patches_of(turned, cell)
                if max_kl is None or kl()(patch) <= max_kl:
                    (layer,) = patch.layers
                    chosen.append((role, number, layer, patch.value, patch.direction.tolist()))
                    break
        return pd.DataFrame(chosen, columns=_COLUMNS)

    progress = asking.get("progress", True)
    return [
        RandomChoice(role, number, layer, value, torch.tensor(direction, dtype=torch.float32))
        for table in (
            kept_table(folder / f"random-{key[:16]}-{number}.parquet", partial(choose, number))
            for number in tqdm(range(n), desc="random choices", disable=not progress)
        )
        for role, number, layer, value, direction in table.itertuples(index=False, name=None)
    ]
