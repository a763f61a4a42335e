"""Finished cells on disk: parquet parts in a folder that says what it belongs to.

A part is written whole or not at all, so a run can be killed at any time. Knows tables and keys,
not models.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow

from role_lens.errors import RoleLensError, first_line
from role_lens.files import as_path, make_folder, read_bytes, write_json, write_table

_IDENTITY = "identity.json"
_QUESTIONS = "questions.parquet"
_ABANDONED = 3600  # seconds; a younger part may be another run's that is being written
_COLUMNS = ("cell", "question", "kind", "predicted", "correct", "logprob_correct", "choice_mass")


class CellFolder:
    """The results of one run: the questions, and the parts that are finished."""

    def __init__(self, path: Path, questions: pd.DataFrame) -> None:
        self.path = path
        self.questions = questions
        self._parts = path / "parts"

    def finished(self) -> set[str]:
        """Keys of the cells that need not be computed again.

        A part that can't be read is reported and set aside.
        """
        return {key for table in self.tables() for key in table["cell"].unique()}

    def tables(self, *, set_aside: bool = True) -> Iterator[pd.DataFrame]:
        """The finished parts one after the other, without cells that an earlier one had.

        A part that can't be read is reported, and set aside to be computed again if wanted.

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
                    part.replace(part.with_suffix(".damaged"))
                    report += "; it was set aside as .damaged and its cells are computed again"
                warnings.warn(report, stacklevel=2)
                continue
            table = table[~table["cell"].isin(seen)]
            seen.update(table["cell"].unique())
            yield table

    def _check(self, table: pd.DataFrame) -> None:
        missing = {*_COLUMNS} - {*table.columns}
        if missing:
            raise ValueError(f"it has no columns {sorted(missing)}")
        n = len(self.questions)
        if not table.groupby("cell")["question"].apply(lambda q: q.tolist() == [*range(n)]).all():
            raise ValueError(f"a cell has not the {n} questions")

    def add(self, cells: Mapping[str, pd.DataFrame]) -> None:
        """Write finished cells as one part.

        Args:
            cells: key -> one row per question, in order.

        Raises:
            RoleLensError: the disk is full or the folder can't be written to.
        """
        tables = [
            table.assign(cell=key, question=range(len(table))) for key, table in cells.items()
        ]
        name = _digest(sorted(cells))
        write_table(self._parts / f"part-{name}.parquet", pd.concat(tables, ignore_index=True))


def continue_cells(
    path: str | Path, identity: Mapping[str, Any], questions: pd.DataFrame
) -> CellFolder:
    """A folder to go on with, or a new one.

    Args:
        identity: what all cells have in common, as JSON values.
        questions: one row per question, in the order of the cells' `question` column.

    Raises:
        RoleLensError: the folder can't be written to, or holds the results of something else,
            naming what differs.
    """
    folder = make_folder(path)
    identity = json.loads(json.dumps(identity))  # as it will be read back
    if (folder / _IDENTITY).exists():
        _check_same(_read_identity(folder), identity, folder)
    else:
        write_json(folder / _IDENTITY, identity)
    write_table(folder / _QUESTIONS, questions)
    for unfinished in make_folder(folder / "parts").glob(".*.partial"):
        with suppress(OSError):
            if time.time() - unfinished.stat().st_mtime > _ABANDONED:
                unfinished.unlink()
    return CellFolder(folder, questions)


def open_cells(path: str | Path) -> CellFolder:
    """The folder of an earlier run, to read it.

    Raises:
        RoleLensError: the folder holds no results.
    """
    folder = as_path(path)
    _read_identity(folder)
    try:
        questions = pd.read_parquet(folder / _QUESTIONS)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise RoleLensError(
            f"can't read {folder / _QUESTIONS} ({getattr(error, 'strerror', None) or error}); the "
            "next run writes it anew"
        ) from error
    return CellFolder(folder, questions)


def cell_key(identity: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    """Content key of a cell: the same for the same model, vectors, patch, questions and scoring."""
    return _digest([identity, cell])


def kept_table(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table in a parquet file; made and written there if there is none, or a damaged one."""
    try:
        return pd.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError):
        pass
    table = make()
    write_table(path, table)
    return table


def content_hash(*parts: Any) -> str:
    """Hash of JSON values or bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else _json(part))
    return digest.hexdigest()


def _digest(content: Any) -> str:
    return hashlib.sha256(_json(content)).hexdigest()[:20]


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def _check_same(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    told = [
        f"{key} ({_shown(found.get(key))} there, {_shown(wanted[key])} here)"
        for key in wanted
        if found.get(key) != wanted[key]
    ]
    if told:
        raise RoleLensError(
            f"{path} holds the results of another run, which differs in {', '.join(told)}; choose "
            "another folder"
        )


def _shown(value: Any) -> str:
    """A value of an identity; hashes are told apart by their beginnings."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def _read_identity(path: Path) -> dict[str, Any]:
    file = path / _IDENTITY
    if not file.exists():
        raise RoleLensError(f"{path} holds no results: there is no {_IDENTITY} in it")
    try:
        identity = json.loads(read_bytes(file))
    except ValueError as error:
        raise RoleLensError(f"{file} is damaged: {error}") from error
    if not isinstance(identity, dict):
        raise RoleLensError(f"{file} is damaged: expected a JSON object")
    return identity
