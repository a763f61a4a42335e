"""Chooses a direction for each role on validation questions, within limits.

    choices = select(model, vectors, questions, "selection", Selection(max_kl=0.05))
    choices["economist"].spec

What is chosen has to be tested on other questions, as `compare` does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from role_lens._run.exclusive import with_usual_defaults
from role_lens.checks import check_is
from role_lens.compute import Compute
from role_lens.direction_spec import DirectionSpec
from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import Candidate
from role_lens.experiments.options import Objective, Selection
from role_lens.experiments.sweeps import sweep_asked
from role_lens.models import Model
from role_lens.patches.patch import Patch
from role_lens.prompts import load_prompts
from role_lens.questions.question import Question
from role_lens.questions.splits import MIN_QUESTIONS
from role_lens.scoring.asked import AskedQuestions, Asker
from role_lens.scoring.asking import Asking
from role_lens.scoring.identity import hash_of_patches
from role_lens.scoring.neutral import NeutralPrompts
from role_lens.vectors import RoleVectors, check_vectors


@dataclass(frozen=True)
class Choice:
    """The direction chosen for a role, and what adding it did to the validation questions.

    Examples:
        >>> from role_lens.experiments import Choice
        >>> spec = DirectionSpec("poet", layer=1)
        >>> choice = Choice(spec, 0.1, accuracy_change=0.0, kl=0.02, n_questions=20, n_tried=10)
        >>> choice.patch(vectors).layers
        (1,)
    """

    spec: DirectionSpec
    """Which direction, and how many times it is added."""
    effect: float
    """Mean change of the margin; too good by having been chosen for it."""
    accuracy_change: float
    """Change of the accuracy."""
    kl: float
    """Mean KL divergence of the first answer token on neutral prompts, in nats; NaN where there was
    no limit."""
    n_questions: int
    """Number of validation questions."""
    n_tried: int
    """Candidates that were computed exactly."""

    @property
    def role(self) -> str:
        """The role that it is for."""
        return self.spec.role

    def patch(self, vectors: RoleVectors) -> Patch:
        """The patch that adds the direction."""
        return vectors.patch("add", self.spec)

    def row(self) -> dict[str, Any]:
        """The choice as a row of a table."""
        flat = {name: value for name, value in vars(self).items() if name != "spec"}
        return {**vars(self.spec), **flat}


CHOICE_COLUMNS = [
    *(field.name for field in fields(DirectionSpec)),
    *(field.name for field in fields(Choice) if field.name != "spec"),
]
"""Columns of a table of choices, see `Choice.row`."""


@with_usual_defaults
def select(
    model: Model,
    vectors: RoleVectors,
    questions: Sequence[Question],
    out: str | Path,
    selection: Selection = Selection(),
    asking: Asking = Asking(),
    compute: Compute = Compute(),
) -> dict[str, Choice | None]:
    """Choose the best addition for each role of a grid on these questions.

    Args:
        questions: for choosing only; what is chosen has to be tested on others.
        out: run folder, of the kind that `sweep` writes; a run that was stopped goes on where it
            was.
        selection: candidates, objective and limits.
        asking: scoring, layout, system message and examples.
        compute: batches and progress.

    Returns:
        Role -> what was chosen; None where every candidate was beyond the limit of the KL
        divergence.

    Raises:
        RoleLensError: fewer than 20 questions, and all that `sweep` raises.

    Examples:
        >>> selection, quiet = Selection(Grid(layers=(1,)), max_kl=None), Compute(progress=False)
        >>> asked = many_questions[:20]
        >>> choices = select(model, vectors, asked, folder / "run", selection, compute=quiet)
        >>> choices["poet"].spec.layer, choices["poet"].n_questions
        (1, 20)
    """
    check_vectors(vectors)
    return select_asked(Asker(model, asking, compute).ask(questions), vectors, out, selection)


def select_asked(
    asked: AskedQuestions, vectors: RoleVectors, out: str | Path, selection: Selection
) -> dict[str, Choice | None]:
    """Choose as `select` does, on questions that are tokenised already."""
    check_is(selection, Selection, "selection")
    if len(asked) < MIN_QUESTIONS:
        raise RoleLensError(
            f"choosing needs at least {MIN_QUESTIONS} validation questions, got {len(asked)}"
        )
    selection = selection.within(vectors.n_layers)
    limit = KLLimit(asked, selection)
    effects = sweep_asked(asked, vectors, out, selection.grid, allowed=limit.allows(vectors))
    ranked = best_first(effects.iloc[1:], selection.objective)
    choices: dict[str, Choice | None] = {}
    for role in selection.grid.roles or vectors.roles:
        name = vectors.roles[vectors.role_index(role)]
        choices[name] = None
        for choice in _choices(ranked[ranked["role"] == name]):
            patch = choice.patch(vectors)
            if limit.allows_patch(patch):
                choices[name] = replace(choice, kl=limit.measure(patch))
                break
    return choices


class KLLimit:
    """The limit of the KL divergence on neutral prompts, which are run when they are needed.

    Args:
        asked: whose model and system message are taken.
        selection: holds the limit, and the prompts.
    """

    def __init__(self, asked: AskedQuestions, selection: Selection) -> None:
        self.most = float("inf") if selection.max_kl is None else selection.max_kl
        prompts = load_prompts("builtin")[::8] if selection.neutral is None else selection.neutral
        self._neutral = cache(partial(NeutralPrompts, asked, prompts))
        self._known: dict[str, float] = {}

    def measure(self, patch: Patch) -> float:
        """The KL divergence of a patch, in nats; NaN where there is no limit."""
        if self.most == float("inf"):
            return float("nan")
        key = hash_of_patches((patch,))
        if key not in self._known:
            self._known[key] = self._neutral().divergence(patch)
        return self._known[key]

    def allows_patch(self, patch: Patch) -> bool:
        """Whether a patch is within the limit."""
        return self.most == float("inf") or self.measure(patch) <= self.most

    def allows(self, vectors: RoleVectors) -> Callable[[Candidate], bool] | None:
        """Whether a candidate of these vectors is within the limit, as a function; None where there
        is no limit."""
        if self.most == float("inf"):
            return None
        return lambda candidate: self.allows_patch(candidate.patch(vectors))


def select_by_domain(
    asked: Mapping[str, AskedQuestions],
    vectors: RoleVectors,
    out: str | Path,
    selection: Selection,
    homes: Mapping[str, str],
) -> dict[str, Choice]:
    """Choose for each role on its own domain's questions, as `select` does.

    Roles for which nothing was chosen are left out.

    Args:
        asked: domain -> the questions that choose.
        out: run folder, with a folder in it for each domain.
        homes: role -> its own domain.

    Raises:
        RoleLensError: all that `select` raises.

    Examples:
        >>> from role_lens.experiments import select_by_domain
        >>> from role_lens.scoring import Asker
        >>> asker, selection = Asker(model, compute=Compute(progress=False)), Selection(max_kl=None)
        >>> asked = {"verse": asker.ask(many_questions[:40])}
        >>> list(select_by_domain(asked, vectors, folder / "run", selection, {"poet": "verse"}))
        ['poet']
    """
    chosen: dict[str, Choice] = {}
    for domain, some in asked.items():
        own = selection.of_roles([role for role in homes if homes[role] == domain])
        best = select_asked(some, vectors, folder_of(out, domain), own)
        chosen |= {role: choice for role, choice in best.items() if choice is not None}
    return chosen


def folder_of(out: str | Path, domain: str) -> Path:
    """Path of a domain's folder in a run folder, whatever characters the domain's name has.

    Examples:
        >>> from role_lens.experiments import folder_of
        >>> folder_of("run", "natural science/1").name
        'natural science%2F1'
    """
    return Path(out) / quote(domain, safe=" ").replace(".", "%2E")


def best_first(effects: pd.DataFrame, objective: Objective = "margin") -> pd.DataFrame:
    """Sort candidates by `effect` or by `accuracy_change`, the best first.

    Each breaks the other's ties.

    Args:
        effects: rows of what `sweep` returns.
        objective: `margin` sorts by `effect`, `accuracy` by `accuracy_change`.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.experiments import best_first
        >>> effects = pd.DataFrame({"effect": [0.1, 0.2], "accuracy_change": [0.05, 0.0]})
        >>> best_first(effects).index.tolist(), best_first(effects, "accuracy").index.tolist()
        ([1, 0], [0, 1])
    """
    order = ["effect", "accuracy_change"]
    if objective == "accuracy":
        order.reverse()
    return effects.sort_values(order, ascending=False, kind="stable")


def _choices(candidates: pd.DataFrame) -> Iterator[Choice]:
    """Rows of a sweep's effects as choices whose KL divergence isn't known yet."""
    for row in candidates.to_dict("records"):
        yield Choice(
            spec=DirectionSpec.of_row(row),
            effect=row["effect"],
            accuracy_change=row["accuracy_change"],
            kl=float("nan"),
            n_questions=int(row["n"]),
            n_tried=len(candidates),
        )
