"""Every candidate of a grid on every question, in a folder that a killed run goes on with.

Knows role vectors, questions and the folder of finished cells, not how a model is run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from role_lens._run.budget import token_budget
from role_lens._run.fingerprint import refuse_hooks
from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import BASELINE, Cell, Grid, cells_of, patches_of
from role_lens.experiments.identity import hash_of_vectors, run_identity
from role_lens.experiments.screening import by_estimate, kept_gradient
from role_lens.experiments.store import CellFolder, cell_key, continue_cells, open_cells
from role_lens.experiments.unfinished import score_unfinished
from role_lens.files import write_table
from role_lens.models import Model
from role_lens.questions.question import Question, Template
from role_lens.scoring.engine import engine
from role_lens.scoring.evaluate import describe, score_columns
from role_lens.scoring.items import Scoring, tokenize_questions
from role_lens.vectors import RoleVectors


def sweep(
    model: Model,
    vectors: RoleVectors,
    questions: Sequence[Question],
    out: str | Path,
    grid: Grid | None = None,
    *,
    screen: int | None = None,
    scoring: Scoring = "letter",
    template: Template = "paper",
    system: str | None = None,
    examples: Sequence[Question] = (),
    max_tokens: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score every candidate of a grid on every question, and the unchanged model.

    Each candidate is a cell with a content key; finished cells are in the folder and are not
    computed again, so a run that was stopped goes on where it was. Candidates whose direction is
    zero (layer 0 of models without absolute positions) are left out.

    Args:
        out: folder for the results; a new one, or one of the same model, vectors, questions and
            scoring.
        grid: the candidates; None for additions of all directions of contrast `base`.
        screen: compute exactly only this many directions of each role, at all coefficients: those
            with the highest effect as estimated by `attribute`. None for all. For additions only.
        scoring, template, system, examples, max_tokens, progress: as for `evaluate`.

    Returns:
        One row per candidate, the baseline first: `kind, contrast, role, position, layer,
        coefficient, n` (questions), `accuracy, accuracy_change, effect` (mean over questions of
        the change of `logprob_correct` against the baseline, in nats), `sem` (its standard error)
        and `choice_mass`. Also written to `effects.parquet`; `read_sweep` gives the scores of
        every question.

    Raises:
        RoleLensError: no questions, an empty grid or one outside the vectors, vectors of another
            model, a model that carries hooks, screening of ablations, a folder that can't be
            written to or holds another sweep.
    """
    if not questions:
        raise RoleLensError("sweep needs at least one question")
    refuse_hooks(model)
    vectors.check(model)
    asking: dict[str, Any] = {"scoring": scoring, "template": template, "system": system}
    items = tokenize_questions(model, questions, examples=examples, **asking)
    cells = cells_of(vectors, grid or Grid())
    if screen is not None and (screen < 1 or any(cell.kind != "add" for cell in cells)):
        raise RoleLensError(
            f"screen={screen}: screening keeps at least one candidate of each role, and estimates "
            "additions only; sweep ablations without it"
        )
    identity = run_identity(model, questions, examples=examples, **asking)
    identity["vectors"] = hash_of_vectors(vectors)
    budget = token_budget(model, max_tokens)
    folder = continue_cells(out, identity, describe(questions))
    if screen is not None:
        options = {**asking, "examples": examples, "max_tokens": max_tokens, "progress": progress}
        gradient = kept_gradient(folder.path, identity, model, questions, **options)
        kept = set().union(*by_estimate(vectors, cells, gradient, screen).values())
        cells = [cell for cell in cells if cell in kept]
    keys = {cell: cell_key(identity, cell._asdict()) for cell in [BASELINE, *cells]}
    score_unfinished(
        folder,
        engine(model, items, budget),
        keys,
        n_layers=model.cfg.n_layers,
        shape=lambda cell: (_first_layer(cell), cell.kind),
        make=lambda cell: patches_of(vectors, cell),
        table=lambda cell, scores: _frame([cell] * len(items)).assign(
            **score_columns(scores, items, questions, scoring)
        ),
        progress=progress,
    )
    effects = _effects(folder, keys)
    write_table(folder.path / "effects.parquet", effects)
    return effects


def read_sweep(path: str | Path) -> pd.DataFrame:
    """All finished cells of a sweep's folder: one row per candidate and question.

    Returns:
        The columns of `evaluate`, with `kind, contrast, role, position, layer, coefficient` in the
        place of `patch`; the baseline, of kind `none`, first.

    Raises:
        RoleLensError: the folder holds no sweep, or none of its cells is finished.
    """
    folder = open_cells(path)
    questions = folder.questions
    tables = list(folder.tables(set_aside=False))
    if not tables:
        raise RoleLensError(f"{path} holds no finished cells yet")
    table = pd.concat(tables, ignore_index=True)
    if not {*Cell._fields} <= {*table.columns}:
        raise RoleLensError(f"{path} holds the results of another kind of run, not of a sweep")
    order = ["is_candidate", *Cell._fields, "question"]
    table = table.assign(is_candidate=table["kind"] != BASELINE.kind).sort_values(order)
    table = table.join(questions, on="question")
    scores = table.columns.drop(
        [*Cell._fields, *questions.columns, "cell", "question", "is_candidate"]
    )
    return table[[*Cell._fields, *questions.columns, *scores]].reset_index(drop=True)


def read_changes(
    path: str | Path,
    score: Literal["logprob_correct", "correct"] = "logprob_correct",
    *,
    candidates: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, Float[np.ndarray, "candidate question"]]:
    """The candidates of a sweep's folder, and what each changed against the unpatched model, for
    the statistics of `role_lens.statistics.paired`.

    Args:
        score: log p(correct), in nats; or whether the answer is correct: 1 where it became so, -1
            where it no longer is.
        candidates: only these, and in their order, such as rows of what `sweep` returned; None for
            all in the folder, which may be of several runs.

    Raises:
        RoleLensError: a candidate isn't in the folder, and all that `read_sweep` raises.
    """
    table, names = read_sweep(path), list(Cell._fields)
    n = int((table["kind"] == BASELINE.kind).sum())
    if n == 0:
        raise RoleLensError(f"{path} holds no baseline: run the sweep again, it goes on there")
    scores = table[score].to_numpy(dtype=np.float64).reshape(-1, n)
    found, changes = table.iloc[n::n][names].reset_index(drop=True), scores[1:] - scores[0]
    if candidates is None:
        return found, changes
    wanted = candidates[names].reset_index(drop=True)
    rows = wanted.merge(found.reset_index(), how="left", on=names)["index"]
    if rows.isna().any():
        raise RoleLensError(f"{int(rows.isna().sum())} of these candidates aren't in {path}")
    return wanted, changes[rows.astype(int)]


def _first_layer(cell: Cell) -> int:
    return cell.layer if cell.kind == "add" and cell.layer is not None else 0


def _effects(folder: CellFolder, keys: Mapping[Cell, str]) -> pd.DataFrame:
    wanted = set(keys.values())
    baseline = next(
        part
        for table in folder.tables()
        if not (part := table[table["cell"] == keys[BASELINE]]).empty
    )
    rows = {}
    for table in folder.tables():
        for key, part in table[table["cell"].isin(wanted)].groupby("cell"):
            change = part["logprob_correct"].to_numpy() - baseline["logprob_correct"].to_numpy()
            n = len(change)
            rows[key] = {
                "n": n,
                "accuracy": part["correct"].mean(),
                "accuracy_change": part["correct"].mean() - baseline["correct"].mean(),
                "effect": change.mean(),
                "sem": change.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan,
                "choice_mass": part["choice_mass"].mean(),
            }
    measured = pd.DataFrame([rows[key] for key in keys.values()])
    return pd.concat([_frame(list(keys)), measured], axis=1)


def _frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """The columns that name candidates, of the same types whatever is missing in them."""
    frame = pd.DataFrame(cells, columns=list(Cell._fields))
    types = dict.fromkeys(("kind", "contrast", "role"), "string")
    types |= {"position": "Int64", "layer": "Int64", "coefficient": "float64"}
    return frame.astype(types)
