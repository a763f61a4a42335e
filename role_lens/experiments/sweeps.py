"""Scores every candidate direction of a grid on every question, in a run folder.

    effects = sweep(model, vectors, questions, "econ-sweep", Grid(roles=("economist",)))
    read_sweep("econ-sweep")     # the scores of every question

A run that was stopped goes on where it was.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from role_lens._run.exclusive import with_usual_defaults
from role_lens.checks import check_is
from role_lens.compute import Compute
from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import BASELINE, COLUMNS, Candidate, candidates_of
from role_lens.experiments.cells import Cell, Cells, finished_cells, label_frame
from role_lens.experiments.options import Grid
from role_lens.experiments.screening import by_estimate, kept_gradient
from role_lens.experiments.store import Store, open_store
from role_lens.files import write_table
from role_lens.models import Model
from role_lens.questions.question import Question
from role_lens.scoring.asked import AskedQuestions, Asker
from role_lens.scoring.asking import Asking
from role_lens.scoring.identity import hash_of_vectors
from role_lens.vectors import RoleVectors, check_vectors

_TYPES = {
    **dict.fromkeys(("kind", "contrast", "role", "schedule"), "string"),
    **{"position": "Int64", "layer": "Int64", "coefficient": "float64"},
}
_NOTHING = Cell(
    labels={**dict.fromkeys(COLUMNS), "kind": BASELINE},
    content={"kind": BASELINE},
    first_layer=0,
    form=BASELINE,
    patches=tuple,
)
"""The unpatched model."""


@with_usual_defaults
def sweep(
    model: Model,
    vectors: RoleVectors,
    questions: Sequence[Question],
    out: str | Path,
    grid: Grid = Grid(),
    asking: Asking = Asking(),
    compute: Compute = Compute(),
) -> pd.DataFrame:
    """Score every candidate direction of a grid on every question, and the unpatched model.

    Finished candidates are kept in the run folder and not computed again, so that a run that was
    stopped goes on where it was. Candidates whose direction is zero are left out, such as those at
    layer 0 of models without learned absolute positions.

    Args:
        out: run folder: a new one, or one of the same model, vectors, questions and asking, and of
            the same versions of the packages.
        grid: the candidates.
        asking: scoring, layout, system message and examples.
        compute: batches and progress.

    Returns:
        One row per candidate, the baseline first: `kind, contrast, role, position, layer,
        coefficient, schedule, n` (questions), `effect` (mean over questions of the change of the
        `margin` against the baseline), `sem` (its standard error), `margin, accuracy,
        accuracy_change, logprob_change` (of log p(correct), in nats), `entropy` and `choice_mass`.
        The effect is missing where the wrong options have no spread any more. Also written to
        `effects.parquet`; `read_sweep` gives the scores of every question.

    Raises:
        RoleLensError: no questions, an empty grid or one outside the vectors, vectors of another
            model, a model that carries hooks, or a folder that can't be written to or holds another
            run.

    Examples:
        >>> grid = Grid(roles=("poet",), layers=(1, 2), positions=(-1,))
        >>> quiet = Compute(progress=False)
        >>> effects = sweep(model, vectors, questions, folder / "run", grid, compute=quiet)
        >>> effects[["kind", "layer", "n"]].values.tolist()[1:]    # after the baseline
        [['add', 1, 4], ['add', 2, 4]]
    """
    check_vectors(vectors)
    return sweep_asked(Asker(model, asking, compute).ask(questions), vectors, out, grid)


def sweep_asked(
    asked: AskedQuestions,
    vectors: RoleVectors,
    out: str | Path,
    grid: Grid,
    *,
    allowed: Callable[[Candidate], bool] | None = None,
) -> pd.DataFrame:
    """Sweep as `sweep` does, on questions that are tokenised already.

    Args:
        asked: the questions, tokenised by `Asker.ask`.
        out, grid: as for `sweep`.
        allowed: which candidates may be left by screening; None for any.

    Examples:
        >>> from role_lens.experiments import sweep_asked
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(questions)
        >>> grid = Grid(roles=("poet",), layers=(1, 2), positions=(-1,))
        >>> sweep_asked(asked, vectors, folder / "run", grid)["kind"].tolist()
        ['none', 'add', 'add']
    """
    check_is(grid, Grid, "grid")
    if not asked.questions:
        raise RoleLensError("sweep needs at least one question")
    vectors.check(asked.model)
    _ = asked.margin_design  # refuses questions that can't tell knowledge
    candidates = candidates_of(vectors, grid)
    store = open_sweep(asked, vectors, out)
    if grid.screen is not None:
        gradient = kept_gradient(store, asked)
        ranked = by_estimate(vectors, candidates, gradient, grid.screen, allowed=allowed)
        kept = set().union(*ranked.values())
        candidates = [candidate for candidate in candidates if candidate in kept]
    cells = [_NOTHING, *(_cell(candidate, vectors) for candidate in candidates)]
    finished = Cells(store, asked, "candidates")
    finished.score(cells, _TYPES)
    effects = _effects(finished.by_key([cell.key for cell in cells]), cells)
    write_table(store.path / "effects.parquet", effects)
    return effects


def sweep_identity(asked: AskedQuestions, vectors: RoleVectors) -> dict[str, Any]:
    """What tells sweeps of these vectors on these questions from others, as JSON values."""
    return {"run": "sweep", **asked.identity, "vectors": hash_of_vectors(vectors)}


def open_sweep(asked: AskedQuestions, vectors: RoleVectors, out: str | Path) -> Store:
    """Open the run folder of a sweep of these vectors on these questions.

    Raises:
        RoleLensError: the folder holds the results of another run, or the model carries hooks.

    Examples:
        >>> from role_lens.experiments import open_sweep
        >>> from role_lens.scoring import Asker
        >>> open_sweep(Asker(model).ask(questions), vectors, folder / "run").path == folder / "run"
        True
    """
    return open_store(out, sweep_identity(asked, vectors))


def read_sweep(path: str | Path) -> pd.DataFrame:
    """Read all finished candidates of a sweep's run folder: one row per candidate and question.

    Returns:
        The columns of `evaluate`, with `kind, contrast, role, position, layer, coefficient,
        schedule` in the place of `patch`; the baseline, of kind `none`, first.

    Raises:
        RoleLensError: the folder holds no sweep, or none of its candidates is finished.

    Examples:
        >>> grid = Grid(roles=("poet",), layers=(1, 2), positions=(-1,))
        >>> quiet = Compute(progress=False)
        >>> effects = sweep(model, vectors, questions, folder / "run", grid, compute=quiet)
        >>> len(read_sweep(folder / "run")) == len(effects) * len(questions)
        True
    """
    folder = finished_cells(path)
    questions = folder.questions
    tables = list(folder.tables(set_aside=False))
    if not tables:
        raise RoleLensError(
            f"{path} holds no finished candidates yet: run the sweep again, it goes on there"
        )
    table = pd.concat(tables, ignore_index=True)
    if not {*COLUMNS} <= {*table.columns}:
        raise RoleLensError(f"{path} holds the results of another kind of run, not of a sweep")
    order = ["is_candidate", *COLUMNS, "question"]
    table = table.assign(is_candidate=table["kind"] != BASELINE).sort_values(order)
    table = table.join(questions, on="question")
    scores = table.columns.drop([*COLUMNS, *questions.columns, "cell", "question", "is_candidate"])
    return table[[*COLUMNS, *questions.columns, *scores]].reset_index(drop=True)


def read_changes(
    path: str | Path,
    score: Literal["margin", "logprob_correct", "correct"] = "margin",
    *,
    candidates: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, Float[np.ndarray, "candidate question"]]:
    """Read the candidates of a sweep's run folder, and what each changed against the baseline.

    The changes are what the tests of `role_lens.statistics` take.

    Args:
        score: the margin; log p(correct), in nats; or whether the answer is correct: 1 where it
            became so, -1 where it no longer is.
        candidates: only these, and in their order, such as rows of what `sweep` returned; None for
            all in the folder, which may be of several runs.

    Returns:
        A table with a row for each candidate, and the changes, by candidate and question.

    Raises:
        RoleLensError: a candidate isn't in the folder, and all that `read_sweep` raises.

    Examples:
        >>> from role_lens.experiments import read_changes
        >>> grid = Grid(roles=("poet",), layers=(1, 2), positions=(-1,))
        >>> quiet = Compute(progress=False)
        >>> effects = sweep(model, vectors, questions, folder / "run", grid, compute=quiet)
        >>> candidates, changes = read_changes(folder / "run")
        >>> candidates["layer"].tolist(), changes.shape
        ([1, 2], (2, 4))
    """
    table, names = read_sweep(path), list(COLUMNS)
    n = int((table["kind"] == BASELINE).sum())
    if n == 0:
        raise RoleLensError(f"{path} holds no baseline: run the sweep again, it goes on there")
    scores = table[score].to_numpy(dtype=np.float64).reshape(-1, n)
    found, changes = table.iloc[n::n][names].reset_index(drop=True), scores[1:] - scores[0]
    if candidates is None:
        return found, changes
    wanted = candidates[names].reset_index(drop=True)
    rows = wanted.merge(found.reset_index(), how="left", on=names)["index"]
    if rows.isna().any():
        raise RoleLensError(
            f"{int(rows.isna().sum())} of these candidates aren't in {path}: sweep them there first"
        )
    return wanted, changes[rows.astype(int)]


def _cell(candidate: Candidate, vectors: RoleVectors) -> Cell:
    return Cell(
        labels=candidate.labels,
        content=candidate.labels,
        first_layer=candidate.first_layer,
        form=candidate.form,
        patches=lambda: (candidate.patch(vectors),),
    )


def _effects(finished: Mapping[str, pd.DataFrame], cells: Sequence[Cell]) -> pd.DataFrame:
    """Means over questions of each cell, and of its changes against the first one."""
    baseline = finished[cells[0].key]
    rows = []
    for cell in cells:
        part = finished[cell.key]
        change, of_logprob = (
            part[score].to_numpy() - baseline[score].to_numpy()
            for score in ("margin", "logprob_correct")
        )
        n = len(change)
        rows.append(
            {
                "n": n,
                "effect": change.mean(),
                "sem": change.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan,
                "margin": part["margin"].mean(),
                "accuracy": part["correct"].mean(),
                "accuracy_change": part["correct"].mean() - baseline["correct"].mean(),
                "logprob_change": of_logprob.mean(),
                "entropy": part["entropy"].mean(),
                "choice_mass": part["choice_mass"].mean(),
            }
        )
    labels = label_frame([cell.labels for cell in cells], _TYPES)
    return pd.concat([labels, pd.DataFrame(rows)], axis=1)
