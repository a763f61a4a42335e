"""Several runs that write at once: whole files, one identity, and nobody's work is lost."""

import errno
import json
import multiprocessing
import os
import resource
import shutil
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from role_lens import RoleLensError
from role_lens.experiments.store import ARRAY, TABLE, claimed, open_store, read_identity
from role_lens.files import atomic_write, create_json, write_json

FORK = multiprocessing.get_context("fork")


def at_once(n, work):
    """What `work(number)` gives, or refuses, in so many processes that start together."""
    barrier, told = FORK.Barrier(n), FORK.Queue()

    def run(number):
        barrier.wait()
        try:
            told.put((number, work(number)))
        except BaseException as error:
            told.put((number, error))

    processes = [FORK.Process(target=run, args=(number,)) for number in range(n)]
    for process in processes:
        process.start()
    found = dict(told.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    for one in found.values():
        if isinstance(one, BaseException) and not isinstance(one, RoleLensError):
            raise one
    return [found[number] for number in range(n)]


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_many_writers_of_one_file(tmp_path):
    path = tmp_path / "new" / "folder" / "table.json"

    def write(number):
        for _ in range(5):
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps([number] * 20_000))
            assert len(set(json.loads(path.read_text()))) == 1  # whole, whoever wrote it
        return True

    assert at_once(20, write) == [True] * 20
    assert len(json.loads(path.read_text())) == 20_000
    assert left(tmp_path) == ["table.json"]


def test_one_run_begins_a_folder_that_several_want(tmp_path):
    for number in range(3):
        folder = tmp_path / str(number)
        found = at_once(8, lambda run, at=folder: open_store(at, {"seed": run % 2}).is_new)
        seed = read_identity(folder)["seed"]
        refused = {run for run, one in enumerate(found) if isinstance(one, RoleLensError)}
        assert refused == {run for run in range(8) if run % 2 != seed}
        for run in refused:
            assert f"differs in seed ({seed} there, {1 - seed} here)" in str(found[run])
        assert sum(one is True for one in found) == 1
        assert left(folder) == ["identity.json"]


def check_that_one_creates(path):
    created = at_once(8, lambda number: create_json(path, [number] * 5000))
    assert sum(created) == 1
    assert set(json.loads(path.read_text())) == {created.index(True)}
    assert left(path.parent) == [path.name]


def test_exactly_one_creates_a_file(tmp_path):
    check_that_one_creates(tmp_path / "one.json")


def test_machines_with_the_same_process_and_time(tmp_path, monkeypatch):
    """Such as containers that share a volume."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    path = tmp_path / "a.json"
    with atomic_write(path) as one, atomic_write(path) as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert path.read_text() == "1"
    assert left(tmp_path) == ["a.json"]


@pytest.fixture(params=["no links", "no renaming over a file", "neither"])
def network_folder(request, monkeypatch):
    """Patched in `os`, since no such folder is at hand."""
    rename = os.replace

    def no_links(source, target):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def only_to_free_names(source, target):
        if os.path.exists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        rename(source, target)

    if request.param != "no renaming over a file":
        monkeypatch.setattr(os, "link", no_links)
    if request.param != "no links":
        monkeypatch.setattr(os, "replace", only_to_free_names)


def test_network_folders(network_folder, tmp_path):
    check_that_one_creates(tmp_path / "one.json")
    folder = tmp_path / "run"
    found = at_once(6, lambda run: open_store(folder, {"seed": run % 2}).is_new)
    assert sum(one is True for one in found) == 1
    assert sum(isinstance(one, RoleLensError) for one in found) == 3
    for number in range(3):
        write_json(folder / "again.json", number)
    assert json.loads((folder / "again.json").read_text()) == 2

    def write(number):
        write_json(folder / "shared.json", [number] * 1000)

    assert at_once(4, write) == [None] * 4
    assert len(set(json.loads((folder / "shared.json").read_text()))) == 1
    assert left(folder) == ["again.json", "identity.json", "shared.json"]


def test_what_is_there_stays_where_it_can_not_be_replaced(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, "kept")

    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(RoleLensError, match=r"can't write .*a\.json: Permission denied"):
        write_json(path, "new")
    assert json.loads(path.read_text()) == "kept"


def test_half_written_files_of_live_runs_are_left_to_them(tmp_path, monkeypatch):
    """By the clock of the disk: that of this machine may be hours ahead of it."""
    folder = open_store(tmp_path / "run", {}).path
    (folder / "parts").mkdir()
    old, live = (folder / "parts" / f".a.parquet.{uuid4().hex}.partial" for _ in range(2))
    for path, age in ((old, 2 * 3600), (live, 600)):
        path.write_bytes(b"PAR1")
        os.utime(path, (time.time() - age,) * 2)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 24 * 3600)
    open_store(folder, {})
    assert left(folder / "parts") == [live.name]


def test_a_folder_that_is_removed_meanwhile(tmp_path):
    """It isn't begun again in the middle."""
    store = open_store(tmp_path / "run", {})
    shutil.rmtree(store.path)
    for form, made in ((TABLE, pd.DataFrame({"n": [1]})), (ARRAY, np.ones(3))):
        with pytest.raises(RoleLensError, match="its folder isn't there, or not any more"):
            store.keep("file", lambda made=made: made, form)
    with pytest.raises(RoleLensError, match="its folder isn't there, or not any more"):
        create_json(store.path / "identity.json", {})
    assert not store.path.exists()


def test_a_full_disk(tmp_path):
    """Files are limited in size here, which fails in the same place."""

    def write(number):
        store = open_store(tmp_path / "run", {})
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(RoleLensError) as caught:
            store.keep("table.parquet", lambda: pd.DataFrame({"n": range(10_000)}), TABLE)
        with pytest.raises(RoleLensError, match=r"can't write .*identity\.json"):
            open_store(tmp_path / "other", {"long": "x" * 10_000})
        return str(caught.value)

    (said,) = at_once(1, write)
    assert said.startswith(f"can't write {tmp_path}/run/table.parquet: ")
    assert len(said.splitlines()) == 1
    assert left(tmp_path) == ["identity.json"]


def test_a_run_that_is_refused_leaves_a_new_folder_free(tmp_path):
    def run(seed, error=None):
        with claimed(tmp_path / "run", {"seed": seed}):
            if error is not None:
                raise error

    with pytest.raises(RoleLensError, match="mistyped"):
        run(1, RoleLensError("mistyped"))
    with pytest.raises(KeyboardInterrupt):
        run(2, KeyboardInterrupt())
    with pytest.raises(RoleLensError, match=r"differs in seed \(2 there, 3 here\)"):
        run(3)
    with pytest.raises(RoleLensError, match="mistyped"):
        run(2, RoleLensError("mistyped"))  # it has begun before
    run(2)


def test_a_refused_run_of_several_folders_leaves_them_free(tmp_path):
    def begin(seed, then):
        with claimed(tmp_path / "run", {"seed": seed}) as store:
            open_store(store.path / "in_domain" / "econ", {"questions": seed})
            then(store.path)
            raise RoleLensError("mistyped")

    for seed, then in ((1, Path.exists), (2, Path.exists), (3, shutil.rmtree)):
        with pytest.raises(RoleLensError, match="mistyped"):
            begin(seed, then)


def test_a_run_that_was_begun_inside_before_keeps_its_identity(tmp_path):
    def begin(run):
        with claimed(run, {"seed": 2}):
            raise RoleLensError("mistyped")

    inner = open_store(tmp_path / "run" / "other", {"seed": 1}).path
    os.utime(inner / "identity.json", (time.time() - 60,) * 2)
    with pytest.raises(RoleLensError, match="mistyped"):
        begin(tmp_path / "run")
    assert read_identity(inner)["seed"] == 1
    assert not (tmp_path / "run" / "identity.json").exists()


def test_why_a_file_can_not_be_written(tmp_path):
    (tmp_path / "text.txt").write_text("")
    for folder, reason in (("text.txt", "Not a directory"), ("none", "its folder isn't there")):
        with pytest.raises(RoleLensError, match=f"can't write .*: {reason}"):
            write_json(tmp_path / folder / "a.json", 1)


def test_long_lists_are_told_apart_by_their_ends(tmp_path):
    names = [f"role {number}" for number in range(30)]
    open_store(tmp_path, {"roles": names})
    with pytest.raises(RoleLensError, match=r"roles \(\['role 29'\] there, \['poet'\] here\)"):
        open_store(tmp_path, {"roles": [*names[:-1], "poet"]})
