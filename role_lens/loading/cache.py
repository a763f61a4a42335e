"""Keeps folders that are made once, in the user's cache.

    folder = kept_folder("models", "qwen-3f2a", write)    # `write` is called the first time only

A folder is there whole or not at all, also where several processes make it at once.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import platformdirs

from role_lens.errors import RoleLensError

_ABANDONED = 24 * 3600  # seconds; a large model takes a while to be converted


def kept_folder(kind: str, name: str, write: Callable[[Path], None]) -> Path:
    """A folder of the cache; made if there is none.

    Args:
        kind: folder of the cache that it is in.
        name: its name there, which doesn't begin with a dot; another content needs another name.
        write: writes the content into an empty folder.

    Raises:
        RoleLensError: the cache can't be written to, and all that `write` raises.
    """
    cache = Path(platformdirs.user_cache_dir("role-lens")) / kind
    folder = cache / name
    if os.path.isdir(folder):
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(cache)
        partial = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=cache))
    except OSError as error:
        raise RoleLensError(
            f"can't write to the cache {cache}: {error.strerror or error}"
        ) from error
    try:
        write(partial)
        os.replace(partial, folder)
    except OSError as error:
        if not os.path.isdir(folder):  # else another process has just made the same one
            raise RoleLensError(f"can't write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _clear_abandoned(cache: Path) -> None:
    """Remove what killed processes left half made, each up to the size of a model."""
    for left in cache.glob(".*"):
        with suppress(OSError):  # another process may finish, or clear, at the same time
            newest = max(one.stat().st_mtime for one in (left, *left.iterdir()))
            if time.time() - newest > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
