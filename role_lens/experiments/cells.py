"""Scores all questions in one cell after another, and keeps finished cells in a run folder.

    cells = Cells(open_store("econ-sweep", asked.identity), asked, "candidates")
    cells.score([cell, other], label_types)
    cells.tables()

A cell is one way of changing or asking the model: a candidate of a sweep, or a condition of a
comparison. Finished cells are written as parquet files, called parts, each whole or not at all, so
a run can be killed at any time.
"""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from role_lens.errors import RoleLensError, first_line, warn
from role_lens.experiments.store import Store, read_identity
from role_lens.files import as_path, make_folder, write_table
from role_lens.patches.patch import Combined
from role_lens.scoring.asked import AskedQuestions
from role_lens.scoring.engine import Scorer, in_chunks

_QUESTIONS = "questions.parquet"
_COLUMNS = ("cell", "question", "kind", "correct", "margin", "logprob_correct", "choice_mass")


@dataclass(frozen=True, eq=False)
class Cell:
    """A unit of a run that is scored and kept as a whole: a sweep's candidate or a comparison's
    condition."""

    labels: Mapping[str, Any]
    """What names the cell in tables, `kind` among them."""
    content: Mapping[str, Any]
    """What makes the cell different from others of the same run, as JSON values."""
    first_layer: int
    """The first layer whose input it changes."""
    form: Hashable
    """What cells must have in common to share a batch."""
    patches: Callable[[], Combined]
    """Makes the cell's patches, when they are needed."""
    system: str | None = None
    """System message in the place of the usual one; None for the usual one."""

    @property
    def key(self) -> str:
        """A hash of the content, by which finished cells are known."""
        return _digest(self.content)


class FinishedCells:
    """The finished cells of a run folder, for reading."""

    def __init__(self, path: Path, questions: pd.DataFrame) -> None:
        self.path = path
        self.questions = questions
        self._parts = path / "parts"

    def tables(self, *, set_aside: bool = True) -> Iterator[pd.DataFrame]:
        """The finished parts one after another, without cells that an earlier part had.

        A part that can't be read is reported in a warning.

        Args:
            set_aside: rename such a part, so that its cells are computed again.

        Raises:
            RoleLensError: the folder can't be read for a reason that lies outside it.
        """
        seen: set[str] = set()
        for part in sorted(self._parts.glob("part-*.parquet")):
            try:
                table = pd.read_parquet(part)
                self._check(table)
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise RoleLensError(f"can't read {part}: {error.strerror}") from error
                report = f"{part} can't be read ({first_line(error)})"
                if set_aside:
                    with suppress(FileNotFoundError):  # another run has set it aside
                        part.replace(part.with_suffix(".damaged"))
                    report += "; it was set aside as .damaged and its cells are computed again"
                warn(report)
                continue
            table = table[~table["cell"].isin(seen)]
            seen.update(table["cell"].unique())
            yield table

    def by_key(self, keys: Sequence[str]) -> dict[str, pd.DataFrame]:
        """Cell key -> its rows, one per question."""
        wanted, found = set(keys), {}
        for table in self.tables():
            for key, part in table[table["cell"].isin(wanted)].groupby("cell"):
                found[str(key)] = part
        return found

    def _check(self, table: pd.DataFrame) -> None:
        missing = {*_COLUMNS} - {*table.columns}
        if missing:
            raise ValueError(f"it has no columns {sorted(missing)}")
        n = len(self.questions)
        if not table.groupby("cell")["question"].apply(lambda q: q.tolist() == [*range(n)]).all():
            raise ValueError(f"a cell has not the {n} questions")


class Cells(FinishedCells):
    """Cells of the same questions, scored and kept in a run folder."""

    def __init__(self, store: Store, asked: AskedQuestions, what: str) -> None:
        super().__init__(store.path, asked.describe())
        self._what = what
        self._asked = asked
        write_table(store.path / _QUESTIONS, self.questions)
        make_folder(self._parts)

    def score(self, cells: Sequence[Cell], label_types: Mapping[str, str]) -> None:
        """Score those cells that aren't finished, part by part.

        Args:
            label_types: pandas types of the labels, the same whatever is missing in them.
        """
        scorers = _Scorers(self._asked)
        finished = {key for table in self.tables() for key in table["cell"].unique()}
        # A block is the unit of progress, so that the time left is right: early layers take longer.
        cost = [self._asked.model.cfg.n_layers - cell.first_layer for cell in cells]
        done = [cell.key in finished for cell in cells]
        with tqdm(
            desc=f"{len(cells)} {self._what}",
            total=sum(cost),
            initial=sum(one for one, is_done in zip(cost, done, strict=True) if is_done),
            disable=not self._asked.progress,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left",
        ) as bar:
            # The division depends on cells, questions and model, not on what is finished.
            forms = [(cell.first_layer, (cell.system, cell.form)) for cell in cells]
            for chunk in in_chunks(scorers.usual, forms):
                pending = [i for i in chunk if not done[i]]
                if not pending:
                    continue
                scorer = scorers.of(cells[pending[0]].system)  # the same for all of a chunk
                scores = scorer.logprobs([cells[i].patches() for i in pending])
                self._add(
                    {cells[i]: one for i, one in zip(pending, scores, strict=True)}, label_types
                )
                bar.update(sum(cost[i] for i in pending))

    def _add(
        self, scores: Mapping[Cell, Float[Tensor, "item choice"]], label_types: Mapping[str, str]
    ) -> None:
        """Write finished cells as one part."""
        tables = []
        for cell, summed in scores.items():
            columns = self._asked.score_columns(summed)
            labels = label_frame([cell.labels] * len(self._asked), label_types)
            table = labels.assign(**columns)
            tables.append(table.assign(cell=cell.key, question=range(len(table))))
        name = _digest(sorted(cell.key for cell in scores))
        write_table(self._parts / f"part-{name}.parquet", pd.concat(tables, ignore_index=True))


class _Scorers:
    """Scorers of the same questions under several system messages."""

    def __init__(self, asked: AskedQuestions) -> None:
        self._asked = asked
        self.usual = asked.scorer()

    def of(self, system: str | None) -> Scorer:
        # Only that of the usual message is kept: each holds the residual stream of all questions.
        return self.usual if system is None else self._asked.with_system(system).scorer()


def finished_cells(path: str | Path) -> FinishedCells:
    """The finished cells of an earlier run.

    Raises:
        RoleLensError: the folder holds no results.
    """
    folder = as_path(path)
    read_identity(folder)
    try:
        questions = pd.read_parquet(folder / _QUESTIONS)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise RoleLensError(
            f"can't read {folder / _QUESTIONS} ({getattr(error, 'strerror', None) or error}); the "
            "next run writes it anew"
        ) from error
    return FinishedCells(folder, questions)


def label_frame(labels: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """Labels as a table, of the same types whatever is missing in them."""
    return pd.DataFrame(list(labels), columns=list(types)).astype(dict(types))


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest()[:20]
