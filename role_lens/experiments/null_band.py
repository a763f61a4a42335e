"""Chooses random directions in the same way as a role's own; their effects are the null band.

    choose_random(asked, vectors, "selection", Selection(), TestPlan(n_random=20))

The best of many random directions does more than any one of them. So a direction that was chosen
has to be compared with random ones that were chosen too.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from role_lens.experiments.candidates import candidates_of
from role_lens.experiments.controls import rotation
from role_lens.experiments.options import Selection, TestPlan
from role_lens.experiments.screening import by_estimate, kept_gradient
from role_lens.experiments.selection import neutral_kl
from role_lens.experiments.store import TABLE
from role_lens.experiments.sweeps import open_sweep
from role_lens.patches.patch import Patch
from role_lens.scoring.asked import AskedQuestions
from role_lens.scoring.identity import content_hash
from role_lens.vectors import RoleVectors

_COLUMNS = ["role", "number", "layer", "coefficient", "direction"]


@dataclass(frozen=True, eq=False)
class RandomChoice:
    """A random direction that was chosen as a role's own was.

    Examples:
        >>> from role_lens.experiments import choose_random
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(many_questions)
        >>> band = choose_random(asked, vectors, folder / "run", Selection(max_kl=None), TestPlan())
        >>> band[0].role, band[0].patch.layers == (band[0].layer,)
        ('poet', True)
    """

    role: str
    """The role whose candidates were rotated."""
    number: int
    """Number of the rotation that the direction is from; the roles share rotations."""
    layer: int
    """The layer whose input it is added to."""
    coefficient: float
    """How many times it is added."""
    direction: Float[Tensor, " d_model"]
    """The raw direction."""

    @property
    def patch(self) -> Patch:
        """The patch that adds the direction."""
        return Patch.add(self.direction, layer=self.layer, coefficient=self.coefficient)


def choose_random(
    asked: AskedQuestions,
    vectors: RoleVectors,
    out: str | Path,
    selection: Selection,
    plan: TestPlan,
) -> list[RandomChoice]:
    """Choose random directions for each role of a grid, each the best of as many as the role had.

    All of a role's candidates are turned by one random rotation, which keeps their lengths and the
    angles between them. The best of them within the limits is taken, as `select` does, but by the
    estimate of its effect alone, from one gradient for all of them. The roles share the rotations,
    as they share their questions.

    Args:
        asked: the questions that choose.
        out: run folder of `select`. Choices are kept there, a file for each rotation, so that a
            stopped run goes on where it was.
        selection: as for `select`. The screened directions are tried in the order of their
            estimates, and the first within the limit of the KL divergence is taken.
        plan: the number of random directions, and the seed.

    Returns:
        For each role a choice from each rotation that has a direction within the limit, at most
        `plan.n_random`.

    Examples:
        >>> from role_lens.experiments import choose_random
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(many_questions)
        >>> band = choose_random(asked, vectors, folder / "run", Selection(max_kl=None), TestPlan())
        >>> len(band)    # 20 rotations, 2 roles
        40
    """
    selection = selection.within(vectors.n_layers)
    store = open_sweep(asked, vectors, out)
    # One record: several values would be joined, and 20 and 12 would be the same as 201 and 2.
    made_of = {"selection": asdict(selection), "n_random": plan.n_random, "seed": plan.seed}
    key = content_hash(made_of)[:16]

    @cache
    def gradient() -> Float[Tensor, "layer d_model"]:
        return kept_gradient(store, asked)

    @cache
    def kl() -> Callable[[Patch], float]:
        return neutral_kl(asked, selection.neutral)

    def choose(number: int) -> pd.DataFrame:
        turned = rotation(vectors, plan.seed, number)
        candidates = candidates_of(turned, selection.grid)
        ranked = by_estimate(turned, candidates, gradient(), selection.grid.screen)
        chosen = []
        for role, of_role in ranked.items():
            for candidate in of_role:
                patch = candidate.patch(turned)
                if selection.max_kl is None or kl()(patch) <= selection.max_kl:
                    (layer,) = patch.layers
                    chosen.append((role, number, layer, patch.value, patch.direction.tolist()))
                    break
        return pd.DataFrame(chosen, columns=_COLUMNS)

    tables = (
        store.keep(f"random-{key}-{number}.parquet", partial(choose, number), TABLE)
        for number in tqdm(range(plan.n_random), desc="random choices", disable=not asked.progress)
    )
    return [
        RandomChoice(role, number, layer, value, torch.tensor(direction, dtype=torch.float32))
        for table in tables
        for role, number, layer, value, direction in table.itertuples(index=False, name=None)
    ]
