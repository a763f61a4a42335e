"""A folder of results that a stopped run goes on with.

    store = open_store("econ-sweep", identity)
    table = store.keep("texts.parquet", make_texts, TABLE)    # made once, then read

Everything that is resumed is kept here: cells of sweeps and comparisons (`role_lens.experiments.
cells`), tables, gradients, answers of a judge, lm-eval's samples. Files are written whole or not at
all. A folder says what its results belong to, the versions of the packages included; one of
something else is refused, naming what differs.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
import pyarrow

from role_lens.errors import RoleLensError
from role_lens.files import as_path, atomic_write, make_folder, read_bytes, write_json, write_table
from role_lens.versions import package_versions

Kept = TypeVar("Kept")

_IDENTITY = "identity.json"
_ABANDONED = 3600  # seconds; a younger file may be another run's that is being written


@dataclass(frozen=True)
class Form(Generic[Kept]):
    """How something is read from a file, and written to one."""

    read: Callable[[Path], Kept]
    """May raise OSError, ValueError or pyarrow's errors: then it is made anew."""
    write: Callable[[Path, Kept], None]


def _write_array(path: Path, array: np.ndarray) -> None:
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


TABLE: Form[pd.DataFrame] = Form(pd.read_parquet, write_table)
"""A table as parquet."""
ARRAY: Form[np.ndarray] = Form(lambda path: np.load(path), _write_array)
"""A numpy array; pickles are refused."""


class Store:
    """A folder of results of one run; `open_store` opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self, name: str, make: Callable[[], Kept], form: Form[Kept]) -> Kept:
        """What is in the file of this name; made and written there if there is none, or a damaged
        one.

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
    """A folder to go on with, or a new one.

    Args:
        identity: what all results in it have in common, as JSON values; the versions of the
            packages are added.

    Raises:
        RoleLensError: the folder can't be written to, or holds the results of something else,
            naming what differs.
    """
    folder = make_folder(path)
    versions = {f"version of {name}": version for name, version in package_versions().items()}
    wanted = json.loads(json.dumps({**identity, **versions}))  # as it will be read back
    if (folder / _IDENTITY).exists():
        _check_same(read_identity(folder), wanted, folder)
    else:
        write_json(folder / _IDENTITY, wanted)
    for unfinished in folder.rglob(".*.partial"):
        with suppress(OSError):
            if time.time() - unfinished.stat().st_mtime > _ABANDONED:
                unfinished.unlink()
    return Store(folder)


def read_identity(path: str | Path) -> dict[str, Any]:
    """What the results in a folder have in common.

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
    (place / record).unlink(missing_ok=True)
    for name, table in tables.items():
        write_table(place / f"{name}.parquet", table)
    write_json(place / record, {**content, "tables": list(tables)})


def read_record(path: str | Path, record: str) -> dict[str, Any] | None:
    """The record that `write_results` wrote; None where there is none.

    Raises:
        RoleLensError: it is damaged.
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
