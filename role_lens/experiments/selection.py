"""Choose a direction for each role on validation questions, within guards.

Knows nothing of the questions that test the choice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

import pandas as pd

from role_lens.directions import Contrast
from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import Grid
from role_lens.experiments.sweep import sweep
from role_lens.models import Model
from role_lens.patches.patch import Patch
from role_lens.prompts import load_prompts
from role_lens.questions.question import Question
from role_lens.questions.splits import MIN_QUESTIONS
from role_lens.scoring.divergence import answer_logprobs, mean_kl
from role_lens.vectors import RoleVectors

Objective = Literal["logprob", "accuracy"]


@dataclass(frozen=True)
class Choice:
    """The direction chosen for a role, and what adding it did to the validation questions."""

    role: str
    contrast: Contrast
    layer: int
    position: int
    coefficient: float
    effect: float
    """Mean change of log p(correct), in nats; too good by having been chosen for it."""
    accuracy_change: float
    kl: float
    """Mean KL divergence of the first answer token on neutral prompts, in nats; NaN where there
    was no limit."""
    n_questions: int
    n_tried: int
    """Candidates that were computed exactly."""

    def addition(self, vectors: RoleVectors) -> Patch:
        """The choice as a patch."""
        return vectors.add(
            self.role,
            layer=self.layer,
            position=self.position,
            coefficient=self.coefficient,
            contrast=self.contrast,
        )


def select(
    model: Model,
    vectors: RoleVectors,
    questions: Sequence[Question],
    out: str | Path,
    grid: Grid | None = None,
    *,
    screen: int | None = 10,
    objective: Objective = "logprob",
    max_kl: float | None = 0.1,
    leave_out_last: float | None = 0.2,
    neutral: Sequence[str] | None = None,
    **asking: Any,
) -> dict[str, Choice | None]:
    """The best addition for each role of a grid on these questions.

    Args:
        questions: for choosing only; what is chosen has to be tested on others.
        out: folder for the scores, of the kind that `sweep` writes; a run that was stopped goes on.
        grid: the candidates, additions only; None for `usual_grid`.
        screen: compute exactly only this many directions of each role, those with the highest
            estimated effect; None for all.
        objective: largest mean log p(correct), or largest accuracy; the screening estimates the
            former in either case.
        max_kl: most mean KL divergence, in nats, of the first answer token on neutral prompts;
            None for no limit. A candidate beyond it gives way to the next best.
        leave_out_last: share of the layers, the last ones, that are not tried (Arditi et al.,
            arXiv 2406.11717, appendix C), unless the grid names its layers; None for all.
        neutral: prompts for the KL divergence; None for every eighth of the built-in base prompts.
        asking: scoring, template, system, examples, max_tokens and progress, as for `evaluate`.

    Returns:
        Role -> what was chosen; None where every candidate was beyond `max_kl`.

    Raises:
        RoleLensError: fewer than 20 questions, an unknown objective, a grid with ablations or
            without layers, and all that `sweep` raises.
    """
    if objective not in get_args(Objective):
        raise RoleLensError(f"objective must be one of {get_args(Objective)}, got {objective!r}")
    if len(questions) < MIN_QUESTIONS:
        raise RoleLensError(
            f"choosing needs at least {MIN_QUESTIONS} validation questions, got {len(questions)}"
        )
    grid = within_layers(grid or usual_grid(vectors), vectors.n_layers, leave_out_last)
    effects = sweep(model, vectors, questions, out, grid, screen=screen, **asking)
    ranked = best_first(effects.iloc[1:], objective)
    kl = neutral_kl(model, neutral, **asking) if max_kl is not None else None
    choices: dict[str, Choice | None] = {}
    for role in grid.roles or vectors.roles:
        name = vectors.roles[vectors.role_index(role)]
        candidates = ranked[ranked["role"] == name]
        choices[name] = None
        for row in candidates.to_dict("records"):
            choice = Choice(
                role=name,
                contrast=row["contrast"],
                layer=int(row["layer"]),
                position=int(row["position"]),
                coefficient=row["coefficient"],
                effect=row["effect"],
                accuracy_change=row["accuracy_change"],
                kl=float("nan"),
                n_questions=int(row["n"]),
                n_tried=len(candidates),
            )
            if kl is not None:
                choice = replace(choice, kl=kl(choice.addition(vectors)))
            if max_kl is None or choice.kl <= max_kl:
                choices[name] = choice
                break
    return choices


def select_by_domain(
    model: Model,
    vectors: RoleVectors,
    questions: Mapping[str, Sequence[Question]],
    out: str | Path,
    grid: Grid,
    homes: Mapping[str, str],
    **options: Any,
) -> dict[str, Choice]:
    """`select` for each domain's own roles; those for which nothing was chosen are left out.

    Args:
        questions: domain -> the questions that choose.
        out: folder for the scores, a folder in it for each domain.
        homes: role -> its domain.
        options: as for `select`.

    Raises:
        RoleLensError: nothing was chosen for any role, and all that `select` raises.
    """
    chosen: dict[str, Choice] = {}
    for domain, asked in questions.items():
        own = replace(grid, roles=tuple(role for role in homes if homes[role] == domain))
        best = select(model, vectors, asked, folder_of(out, domain), own, **options)
        chosen |= {role: choice for role, choice in best.items() if choice is not None}
    if not chosen:
        raise RoleLensError(
            "no role has a direction whose KL divergence is within the limit: raise max_kl, or try "
            "more candidates"
        )
    return chosen


def folder_of(out: str | Path, domain: str) -> Path:
    """A domain's folder, whatever its name holds."""
    return Path(out) / quote(domain, safe=" ").replace(".", "%2E")


def best_first(effects: pd.DataFrame, objective: Objective = "logprob") -> pd.DataFrame:
    """Candidates by `effect` or by `accuracy_change`, which break each other's ties."""
    order = ["effect", "accuracy_change"]
    if objective == "accuracy":
        order.reverse()
    return effects.sort_values(order, ascending=False, kind="stable")


def usual_grid(vectors: RoleVectors) -> Grid:
    """All directions of both contrasts; of a single role those of contrast `base`."""
    return Grid(contrasts=vectors.contrasts)


def within_layers(grid: Grid, n_layers: int, leave_out_last: float | None) -> Grid:
    """The grid without the last layers, unless it names its layers.

    Raises:
        RoleLensError: a grid with ablations, a share out of range.
    """
    if set(grid.kinds) != {"add"}:
        raise RoleLensError(f"only additions are chosen from, got kinds {grid.kinds}")
    share = 0.0 if leave_out_last is None else leave_out_last
    if not 0 <= share < 1:
        raise RoleLensError(f"leave_out_last is a share of the layers, 0 to 1, got {share}")
    if grid.layers is not None:
        return grid
    left_out = int(n_layers * share + 1e-9)  # 50 * 0.58 is 28.999…
    return replace(grid, layers=tuple(range(n_layers - left_out)))


def neutral_kl(
    model: Model,
    neutral: Sequence[str] | None,
    *,
    system: str | None = None,
    max_tokens: int | None = None,
    **others: Any,
) -> Callable[[Patch], float]:
    """A function that gives a patch's mean KL divergence on neutral prompts, see `select`.

    Args:
        others: what only concerns questions.
    """
    prompts = load_prompts("builtin")[::8] if neutral is None else neutral
    logprobs = partial(answer_logprobs, model, prompts, system=system, max_tokens=max_tokens)
    before = logprobs()

    def kl(patch: Patch) -> float:
        return mean_kl(before, logprobs(patch))

    return kl
