"""Reads the rows of a file, as the ending of its name says, or of all files in a folder.

    for row in read_rows(Path("questions.csv"), {"question"}):
        row.place, row.fields["question"]    # "questions.csv, line 2", "Which is a tree?"

To add a kind of file is to add its ending and a function to `_READERS`.
"""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from role_lens.errors import RoleLensError, warn
from role_lens.rows.arrow_files import arrow_rows, parquet_rows
from role_lens.rows.json_files import json_rows
from role_lens.rows.row import NoRowsError, Row
from role_lens.rows.text_tables import csv_rows, tsv_rows
from role_lens.values import shown

T = TypeVar("T")

_READERS: dict[str, Callable[[Path, Collection[str]], list[Row]]] = {
    ".jsonl": json_rows,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
    ".parquet": parquet_rows,
    ".arrow": arrow_rows,
}
ENDINGS = tuple(_READERS)
"""The endings of the names of files that are read."""


def read_rows(path: Path, known: Collection[str]) -> list[Row]:
    """Rows of a file, which is read as the ending of its name says, and else as JSON Lines.

    Args:
        known: names of fields, of which every row has at least one. They tell the header of a table
            from its first row, and rows from what a JSON file has around them.

    Raises:
        NoRowsError: a JSON file holds no rows with such fields.
        RoleLensError: the file can't be read, or is malformed; the message names file and place.
    """
    ending = path.suffix.lower()
    try:
        return _READERS.get(ending, json_rows)(path, known)
    except RoleLensError as error:
        if ending in _READERS:
            raise
        raise RoleLensError(
            f"{error}; a name that ends in {', '.join(ENDINGS)} says how to read a file"
        ) from error


def read_all(
    path: Path, read: Callable[[Path], T], what: str, endings: Sequence[str], strict: Sequence[str]
) -> list[T]:
    """Read a file, or in a folder all files with some endings, in the order of their names.

    Hidden files and copies that editors keep beside the data are passed over. Files that hold
    something else are left out with a warning.

    Args:
        read: reads a file, and raises a `NoRowsError` if it holds something else.
        what: what the files hold, as error messages call it.
        strict: endings of files that hold nothing else.

    Raises:
        RoleLensError: the folder can't be read, or holds no such file, and all that `read` raises.
    """
    if not os.path.isdir(path):
        return [read(path)]
    try:
        inside = sorted(one for one in path.iterdir() if not _is_hidden(one))
    except OSError as error:
        raise RoleLensError(f"can't read {path}: {error.strerror or error}") from error
    folders = [one.name for one in inside if os.path.isdir(one)]
    found, left_out = [], []
    for file in inside:
        if file.name in folders or file.suffix.lower() not in endings:
            continue
        try:
            found.append(read(file))
        except NoRowsError as error:
            if file.suffix.lower() in strict:
                raise
            left_out.append(error)
    if not found:
        none = f"{path} holds no {what} file, whose name ends in {', '.join(endings)}"
        hint = f"; it has folders, name one of them: {shown(folders)}" if folders else ""
        raise RoleLensError(f"{left_out[0] if left_out else none}{hint}")
    for reason in left_out:
        warn(f"left out: {reason}")
    return found


def _is_hidden(path: Path) -> bool:
    # ".x.swp", macOS's "._x", Emacs's ".#x", "~$x" of office programs, "x~" of many editors.
    return path.name.startswith((".", "~$")) or path.stem.endswith("~")
