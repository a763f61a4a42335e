"""Reads text, and writes files whole or not at all.

    read_text(path)
    with atomic_write(path) as temporary: temporary.write_text("whole")

A file that can't be read or written raises a `RoleLensError` with its path.
"""

import codecs
import errno
import json
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from role_lens.errors import RoleLensError
from role_lens.values import shown

if TYPE_CHECKING:
    import pandas as pd

_ABANDONED = 3600  # seconds
_PATIENCE = 2.0  # seconds
# Longest first: the mark of UTF-32 begins as that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def as_path(path: str | Path) -> Path:
    """A path with `~` expanded.

    Raises:
        RoleLensError: it is no path, or begins with `~name` and there is no user of that name.
    """
    try:
        found = Path(path).expanduser()
    except TypeError as error:
        raise RoleLensError(f"expected a path, got {shown(path)}") from error
    except RuntimeError as error:
        raise RoleLensError(f"can't find {path}: {error}") from error
    if "\0" in str(found):
        raise RoleLensError(f"expected a path, got {shown(str(path))}, which holds a null byte")
    return found


def _file_path(path: str | Path) -> Path:
    found = as_path(path)
    if not found.name:
        raise RoleLensError(f"expected the path of a file, got {shown(str(path))}")
    return found


def read_bytes(path: Path) -> bytes:
    """Content of a file.

    Raises:
        RoleLensError: the file can't be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RoleLensError(f"can't read {path}: {error.strerror or error}") from error


def read_text(path: Path) -> str:
    """Text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark; lines end in `\\n`.

    Raises:
        RoleLensError: the file can't be read, or isn't such text.
    """
    content = read_bytes(path)
    mark, encoding = next(
        ((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8")
    )
    try:
        text = content.removeprefix(mark).decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RoleLensError(
            f"{path}, line {line}: not UTF-8 text ({error}); save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise RoleLensError(
            f"{path} is no text, or UTF-16 without a byte order mark; save the file as UTF-8"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
    make_folder(next(one for one in (folder, *folder.parents) if os.path.exists(one)))


def check_writable(path: str | Path) -> None:
    """Raise a RoleLensError if `path` can't become a file. Asked before a long computation, not
    after it."""
    target = _file_path(path)
    if os.path.isdir(target):
        raise RoleLensError(f"can't write {target}: it is a folder")
    # Only the nearest folder that exists is asked: a command that fails later leaves no new one.
    make_folder(next(one for one in target.absolute().parents if os.path.exists(one)))


@contextmanager
def atomic_write(path: str | Path, *, new_folder: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes the name `path` only if the body succeeds.

    Of several that write one path at once, the last one's file is there in the end, whole.

    Args:
        new_folder: make the folder if there is none. False in run folders: one that has been
            removed meanwhile lacks what was in it, and isn't to be begun again in the middle.

    Raises:
        RoleLensError: the folder can't be written to or isn't there, or the disk is full.
    """
    target = _file_path(path)
    temporary = _temporary(target)
    try:
        if new_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _take_name(temporary, target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def create_json(path: str | Path, value: Any) -> bool:
    """Write JSON to a file that isn't there yet, whole or not at all.

    Returns:
        Whether it was written. False where the file is there: of several that create it at once,
        exactly one does.

    Raises:
        RoleLensError: the folder can't be written to or isn't there, or the disk is full.
    """
    target, text = _file_path(path), _as_text(value)
    temporary = _temporary(target)
    try:
        temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, target)  # unlike a renaming, it never takes the place of a file
        except FileExistsError:
            return False
        except OSError:  # some network folders and memory cards have no links
            return _create_directly(target, text)
        return True
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_table(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table without its index: as CSV if the name ends in `.csv`, else as parquet.

    The file is written whole or not at all, into a folder that is there.

    Raises:
        RoleLensError: the file can't be written.
    """
    with atomic_write(path, new_folder=False) as temporary:
        if as_path(path).suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON, whole or not at all, into a folder that is there.

    Raises:
        RoleLensError: the file can't be written.
    """
    with atomic_write(path, new_folder=False) as temporary:
        temporary.write_text(_as_text(value), encoding="utf-8")


def write_json_lines(path: str | Path, rows: Iterable[Any]) -> None:
    """Write a JSON value a line, whole or not at all, into a folder that is there.

    Raises:
        RoleLensError: the file can't be written.
    """
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    with atomic_write(path, new_folder=False) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def remove_file(path: str | Path) -> None:
    """Remove a file, if it is there.

    Raises:
        RoleLensError: it can't be removed.
    """
    try:
        as_path(path).unlink(missing_ok=True)
    except OSError as error:
        raise RoleLensError(f"can't remove {path}: {error.strerror or error}") from error


def clear_abandoned(folder: Path) -> None:
    """Remove what killed processes were writing in a folder and in those in it.

    A file that was begun within the last hour may be another run's, which is at work.
    """
    with suppress(OSError):  # all of this is tidying, and other runs may do it at the same time
        # By the clock of the disk that the folder is on, which may be another machine's.
        with tempfile.TemporaryFile(dir=folder) as now:
            newest = os.fstat(now.fileno()).st_mtime - _ABANDONED
        for unfinished in folder.rglob(".*.partial"):
            with suppress(OSError):
                if unfinished.stat().st_mtime < newest:
                    unfinished.unlink()


def _as_text(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


def _temporary(target: Path) -> Path:
    """A name of its own, not only by process: containers that share a folder may have the same
    process ids, and have started at the same time."""
    return target.with_name(f".{target.name}.{uuid4().hex}.partial")


def _take_name(temporary: Path, target: Path) -> None:
    """Rename a file, and replace what has the name so far."""
    try:
        os.replace(temporary, target)
        return
    except FileExistsError as error:
        if target.is_dir():
            raise
        refused: OSError = error
    except PermissionError as error:
        if not target.is_file():
            raise
        refused = error
    # Some network folders rename to free names only, and Windows to none that is being read.
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            target.unlink(missing_ok=True)
            os.replace(temporary, target)
            return
        except (FileExistsError, PermissionError) as error:  # others may be doing the same
            refused = error
        time.sleep(random.Random().uniform(0.0, 0.1))  # not in step with them
    raise refused


def _create_directly(target: Path, text: str) -> bool:
    try:
        opened = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        with open(opened, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    return True


def _cannot_write(target: Path, error: OSError) -> RoleLensError:
    if error.errno in (None, errno.ENOENT) and not os.path.isdir(target.parent):
        return RoleLensError(f"can't write {target}: its folder isn't there, or not any more")
    return RoleLensError(f"can't write {target}: {error.strerror or error}")
