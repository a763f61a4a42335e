"""Reads JSON Lines, and writes files whole or not at all.

    for number, row in read_jsonl(path): ...
    with atomic_write(path) as temporary: temporary.write_text("whole")

A file that can't be read or written raises a `RoleLensError` with its path.
"""

import codecs
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from role_lens.errors import RoleLensError

if TYPE_CHECKING:
    import pandas as pd


def as_path(path: str | Path) -> Path:
    """A path with `~` expanded.

    Raises:
        RoleLensError: the path begins with `~name`, and there is no user of that name.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise RoleLensError(f"can't find {path}: {error}") from error


def read_jsonl(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Objects of a JSON Lines file, each with its line number, counted from 1.

    Blank lines are skipped.

    Raises:
        RoleLensError: the file can't be read, or a line of it is not UTF-8 or not a JSON object;
            the message names file and line.
    """
    rows = []
    # Only "\n" ends a record: str.splitlines would also cut at U+2028 inside a string.
    content = read_bytes(path).removeprefix(codecs.BOM_UTF8)
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
            json.dumps(row, ensure_ascii=False).encode("utf-8")  # refuses lone surrogates
        except ValueError as error:  # covers JSON and UTF-8 decoding
            raise RoleLensError(f"{path}, line {number}: not valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise RoleLensError(
                f"{path}, line {number}: expected a JSON object, got {type(row).__name__}"
            )
        rows.append((number, row))
    return rows


def read_bytes(path: Path) -> bytes:
    """Content of a file.

    Raises:
        RoleLensError: the file can't be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RoleLensError(f"can't read {path}: {error.strerror or error}") from error


def make_folder(path: str | Path) -> Path:
    """Create an output folder, with its parents, and make sure that files can be written to it.

    Raises:
        RoleLensError: the folder can't be created or written to.
    """
    folder = as_path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RoleLensError(
            f"can't write to the output folder {folder}: {error.strerror or error}"
        ) from error
    return folder


def check_folder(path: str | Path) -> None:
    """Raise a RoleLensError if `path` can't become a folder to write to; nothing new is left."""
    folder = as_path(path).absolute()
    make_folder(next(one for one in (folder, *folder.parents) if one.exists()))


def check_writable(path: str | Path) -> None:
    """Raise a RoleLensError if `path` can't become a file. Asked before a long computation, not
    after it."""
    target = as_path(path)
    if target.is_dir():
        raise RoleLensError(f"can't write {target}: it is a folder")
    # Only the nearest folder that exists is asked: a command that fails later leaves no new one.
    make_folder(next(folder for folder in target.absolute().parents if folder.exists()))


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes the name `path` only if the body succeeds.

    Raises:
        RoleLensError: the folder can't be written to, or the disk is full.
    """
    target = as_path(path)
    # A name of its own, not only by process: containers that share a folder share process ids too.
    temporary = target.with_name(f".{target.name}.{uuid4().hex}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise RoleLensError(f"can't write {target}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_table(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table without its index: as CSV if the name ends in `.csv`, else as parquet.

    The file is written whole or not at all.

    Raises:
        RoleLensError: the file can't be written.
    """
    with atomic_write(path) as temporary:
        if as_path(path).suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON, whole or not at all.

    Raises:
        RoleLensError: the file can't be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
