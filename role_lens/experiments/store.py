"""Keeps results in run folders, so that a stopped run goes on where it was.

    store = open_store("econ-sweep", identity)
    table = store.keep("texts.parquet", make_texts, TABLE)    # made once, then read

Everything that is resumed is kept here: cells of sweeps and comparisons
(`role_lens.experiments.cells`), tables, gradients, answers of a role judge, lm-eval's samples.
Files are written whole or not at all. A run folder says what its results belong to, the versions of
the packages included; a run of something else is refused, naming what differs.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
import pyarrow

from role_lens.errors import RoleLensError
from role_lens.files import (
    as_path,
    atomic_write,
    clear_abandoned,
    create_json,
    make_folder,
    read_bytes,
    remove_file,
    write_json,
    write_table,
)
from role_lens.versions import package_versions

Kept = TypeVar("Kept")

_IDENTITY = "identity.json"
_PAUSES = (0.05, 0.2, 1.0)  # seconds


@dataclass(frozen=True)
class Form(Generic[Kept]):
    """How something is read from a file, and written to one."""

    read: Callable[[Path], Kept]
    """Reads the file. If the file is missing or can't be read, the content is made anew."""
    write: Callable[[Path, Kept], None]
    """Writes the file."""


def _write_array(path: Path, array: np.ndarray) -> None:
    with atomic_write(path, new_folder=False) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


TABLE: Form[pd.DataFrame] = Form(pd.read_parquet, write_table)
"""The form of a table: parquet."""
ARRAY: Form[np.ndarray] = Form(lambda path: np.load(path), _write_array)
"""The form of a numpy array; pickles are refused."""


class Store:
    """A run folder, opened by `open_store`; files in it are made once, and then read.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.experiments import TABLE, open_store
        >>> store = open_store(folder / "run", {"model": "tiny-llama"})
        >>> first = store.keep("n.parquet", lambda: pd.DataFrame({"n": [1]}), TABLE)
        >>> store.keep("n.parquet", lambda: pd.DataFrame({"n": [2]}), TABLE)["n"].tolist()
        [1]
    """

    def __init__(self, path: Path, *, is_new: bool = False) -> None:
        self.path = path
        self.is_new = is_new
        clear_abandoned(path)

    def keep(self, name: str, make: Callable[[], Kept], form: Form[Kept]) -> Kept:
        """What is in the file of this name; made and written there if there is none, or a damaged
        one.

        Args:
            name: name of the file.
            make: makes the content.
            form: how it is read and written, such as `TABLE`.

        Raises:
            RoleLensError: the file can't be written, and all that `make` raises.
        """
        path = self.path / name
        try:
            return form.read(path)
        except (pyarrow.ArrowException, OSError, ValueError, LookupError, TypeError, EOFError):
            pass  # none yet, or damaged
        made = make()
        form.write(path, made)
        return made


def open_store(path: str | Path, identity: Mapping[str, Any]) -> Store:
    """Open a run folder: a new one, or one to go on with.

    Args:
        identity: what all results in it have in common, as JSON values; the versions of the
            packages are added.

    Raises:
        RoleLensError: the folder can't be written to, or holds the results of another run; the
            message names what differs.

    Examples:
        >>> from role_lens.experiments import open_store
        >>> open_store(folder / "run", {"model": "tiny-llama"}).path == folder / "run"
        True
        >>> open_store(folder / "run", {"model": "another"})
        Traceback (most recent call last):
        role_lens.errors.RoleLensError: ...
    """
    folder = make_folder(path)
    versions = {f"version of {name}": version for name, version in package_versions().items()}
    wanted = json.loads(json.dumps({**identity, **versions}))  # as it will be read back
    found = _identity_there(folder, wanted)
    if found is not None:
        _check_same(found, wanted, folder)
    return Store(folder, is_new=found is None)


@contextmanager
def claimed(path: str | Path, identity: Mapping[str, Any]) -> Iterator[Store]:
    """Open a run folder as `open_store` does, for a run whose parts are kept in folders of their
    own.

    If the run refuses its input after all, a folder that was new is free for another one.

    Raises:
        RoleLensError: as `open_store`.
    """
    store = open_store(path, identity)
    try:
        yield store
    except RoleLensError:
        with suppress(RoleLensError, OSError):  # the folder may have been removed meanwhile
            if store.is_new:
                _free(store.path)
        raise


def _free(folder: Path) -> None:
    """Take the identities out of a folder that holds no results yet."""
    files = [one for one in folder.rglob("*") if one.is_file()]
    # Vectors that were fitted for the run are known by a record of their own.
    results = [one for one in files if one.suffix != ".safetensors"]
    if all(one.name == _IDENTITY for one in results):
        begun = (folder / _IDENTITY).stat().st_mtime  # an older one in it is another run's
        for one in results:
            if one.stat().st_mtime >= begun:
                remove_file(one)


def read_identity(path: str | Path) -> dict[str, Any]:
    """What the results in a run folder have in common.

    Raises:
        RoleLensError: the folder holds no results, or its record is damaged.
    """
    file = as_path(path) / _IDENTITY
    if not file.exists():
        raise RoleLensError(f"{path} holds no results: there is no {_IDENTITY} in it")
    return _read_object(file)


def write_results(
    path: str | Path, record: str, tables: Mapping[str, pd.DataFrame], content: Mapping[str, Any]
) -> None:
    """Write `<name>.parquet` for each table, and the record that names them.

    Args:
        record: name of the record's file.
        content: the record, as JSON values.
    """
    place = make_folder(path)
    # If this is interrupted, no record is better than that of other tables.
    remove_file(place / record)
    for name, table in tables.items():
        write_table(place / f"{name}.parquet", table)
    write_json(place / record, {**content, "tables": list(tables)})


def read_record(path: str | Path, record: str) -> dict[str, Any] | None:
    """The record that `write_results` wrote; None where there is none.

    Raises:
        RoleLensError: the record is damaged.
    """
    file = as_path(path) / record
    return _read_object(file) if file.exists() else None


def read_results(
    path: str | Path, record: str
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]] | None:
    """Tables and record that `write_results` wrote; None where there are none.

    Raises:
        RoleLensError: they are damaged.
    """
    content = read_record(path, record)
    if content is None:
        return None
    try:
        names = content.pop("tables")
        tables = {name: pd.read_parquet(as_path(path) / f"{name}.parquet") for name in names}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise RoleLensError(
            f"the results in {path} are damaged ({error}): run the analysis again"
        ) from error
    return tables, content


def _read_object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_bytes(file))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RoleLensError(f"{file} is damaged: delete it, and start the run again")
    return found


def _identity_there(folder: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The identity that is in a folder; None where there was none, and it is now the wanted one."""
    pauses = iter(_PAUSES)
    while True:
        if not (folder / _IDENTITY).exists() and create_json(folder / _IDENTITY, wanted):
            return None
        try:
            return read_identity(folder)
        except RoleLensError:
            pause = next(pauses, None)
            if pause is None:
                raise
            time.sleep(pause)  # another run may be writing it at this moment, or taking it back


def _check_same(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    pairs = {key: (found.get(key), here) for key, here in wanted.items()}
    told = [
        f"{key} ({_shown(there, here)} there, {_shown(here, there)} here)"
        for key, (there, here) in pairs.items()
        if there != here
    ]
    if told:
        raise RoleLensError(
            f"{path} holds the results of another run, which differs in {', '.join(told)}; choose "
            "another folder"
        )


def _shown(value: Any, other: Any) -> str:
    """A value of an identity, beside which another stands; hashes are told apart by their
    beginnings, and long lists by what only one of them has."""
    text = repr(value)
    if len(text) > 40 and isinstance(value, list) and isinstance(other, list):
        text = repr([one for one in value if one not in other] or value)
    return text if len(text) <= 40 else f"{text[:12]}…"
