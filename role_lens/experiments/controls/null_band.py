"""Chooses random directions in the same way as a role's own; their effects are the null band.

    choose_random(asked, vectors, "selection", Selection(), TestPlan(n_random=20))

The best of many random directions does more than any one of them. So a direction that was chosen
has to be compared with random ones that were chosen too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from role_lens.direction_spec import DirectionSpec
from role_lens.experiments.candidates import candidates_of
from role_lens.experiments.condition_kinds import ConditionKind
from role_lens.experiments.condition_scores import score_conditions
from role_lens.experiments.conditions import Condition
from role_lens.experiments.controls.control_directions import rotation
from role_lens.experiments.options import Selection, TestPlan
from role_lens.experiments.screening import by_estimate, kept_gradient
from role_lens.experiments.selection import KLLimit
from role_lens.experiments.store import TABLE
from role_lens.experiments.sweeps import open_sweep
from role_lens.patches.patch import Patch
from role_lens.schedule import layer_weights
from role_lens.scoring.asked import AskedQuestions
from role_lens.scoring.identity import content_hash
from role_lens.vectors import RoleVectors

_COLUMNS = ["role", "number", "layer", "coefficient", "schedule", "direction"]


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
    schedule: str
    """How it is shared out over the layers around that one."""
    direction: Float[Tensor, " d_model"]
    """The raw direction."""
    n_layers: int
    """Number of the model's layers."""

    @property
    def patch(self) -> Patch:
        """The patch that adds the direction."""
        weights = layer_weights(self.schedule, self.layer, self.n_layers)
        return Patch.add(self.direction, layer=weights, coefficient=self.coefficient)


def choose_random(
    asked: AskedQuestions,
    vectors: RoleVectors,
    out: str | Path,
    selection: Selection,
    plan: TestPlan,
) -> list[RandomChoice]:
    """Choose random directions for each role of a grid, each the best of as many as the role had.

    All of a role's candidates are turned by one random rotation, which keeps their lengths and the
    angles between them. They are screened by estimate, from one gradient for all of them, and those
    that are left are computed exactly, as `select` does; the best within the limits is taken. The
    roles share the rotations, as they share their questions.

    Args:
        asked: the questions that choose.
        out: run folder of `select`. Choices are kept there, a file for each rotation, so that a
            stopped run goes on where it was.
        selection: as for `select`; what is largest is the mean margin, whatever the objective.
            With `screen=1` nothing has to be computed exactly at one coefficient.
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
    n_layers = vectors.n_layers
    selection = selection.within(n_layers)
    store = open_sweep(asked, vectors, out)
    key = content_hash({"selection": asdict(selection), "seed": plan.seed})[:16]
    limit = KLLimit(asked, selection)

    @cache
    def gradient() -> Float[Tensor, "layer d_model"]:
        return kept_gradient(store, asked)

    @cache
    def screened(number: int) -> dict[str, list[tuple[DirectionSpec, Patch]]]:
        turned = rotation(vectors, plan.seed, number)
        ranked = by_estimate(
            turned,
            candidates_of(turned, selection.grid),
            gradient(),
            selection.grid.screen,
            allowed=limit.allows(turned),
        )
        return {
            role: [(one.spec, one.patch(turned)) for one in some] for role, some in ranked.items()
        }

    @cache
    def exact() -> dict[tuple[Any, ...], float]:
        several = {
            (role, f"{number}/{place}"): patch
            for number in range(plan.n_random)
            for role, some in screened(number).items()
            if len(some) > 1
            for place, (_, patch) in enumerate(some)
        }
        return _mean_margins(asked, several, store.path / "random")

    def choose(number: int) -> pd.DataFrame:
        chosen = []
        for role, some in screened(number).items():
            ranked = list(some)
            if len(some) > 1:
                means = np.array([exact()[role, f"{number}/{i}"] for i in range(len(some))])
                # One without a margin is never chosen, as for the role itself.
                order = np.argsort(np.nan_to_num(-means, nan=np.inf), kind="stable")
                ranked = [some[place] for place in order if np.isfinite(means[place])]
            for spec, patch in ranked:
                if limit.allows_patch(patch):
                    what = (spec.layer, spec.coefficient, spec.schedule, patch.direction.tolist())
                    chosen.append((role, number, *what))
                    break
        return pd.DataFrame(chosen, columns=_COLUMNS)

    tables = (
        store.keep(f"random-{key}-{number}.parquet", partial(choose, number), TABLE)
        for number in tqdm(range(plan.n_random), desc="random choices", disable=not asked.progress)
    )
    return [
        RandomChoice(role, number, layer, times, schedule, torch.tensor(row).float(), n_layers)
        for table in tables
        for role, number, layer, times, schedule, row in table.itertuples(index=False, name=None)
    ]


def random_conditions(chosen: Sequence[RandomChoice]) -> list[Condition]:
    """Conditions of the null band: each adds one of the random directions."""
    return [
        Condition(ConditionKind.RANDOM, one.role, str(one.number), (one.patch,)) for one in chosen
    ]


def _mean_margins(
    asked: AskedQuestions, patches: Mapping[tuple[str, str], Patch], out: Path
) -> dict[tuple[Any, ...], float]:
    """The mean margin under each patch, by role and number."""
    if not patches:
        return {}
    conditions = [
        Condition(ConditionKind.RANDOM, *names, patches=(patch,))
        for names, patch in patches.items()
    ]
    scores = score_conditions(asked, conditions, out, domain="", in_domain=True)
    return dict(zip(patches, scores.margin.mean(axis=1).tolist(), strict=True))
