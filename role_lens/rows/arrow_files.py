"""Reads parquet and Arrow files."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError, first_line
from role_lens.files import read_bytes
from role_lens.rows.row import Row, numbered


def parquet_rows(path: Path, known: Collection[str]) -> list[Row]:
    """Rows of a parquet file, in Python's own types.

    Raises:
        RoleLensError: the file can't be read.
    """
    import pyarrow as pa
    from pyarrow import parquet

    return _arrow_table(path, lambda content: parquet.read_table(pa.BufferReader(content)))


def arrow_rows(path: Path, known: Collection[str]) -> list[Row]:
    """Rows of an Arrow file or stream, such as `datasets` keeps, as `parquet_rows`."""
    import pyarrow as pa

    def read(content: bytes) -> Any:
        try:
            return pa.ipc.open_file(content).read_all()
        except pa.ArrowInvalid:  # a stream, as `datasets` writes it
            return pa.ipc.open_stream(content).read_all()

    return _arrow_table(path, read)


def _arrow_table(path: Path, read: Callable[[bytes], Any]) -> list[Row]:
    import pyarrow as pa

    content = read_bytes(path)
    try:
        return numbered(path, read(content).to_pylist())
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RoleLensError(
            f"can't read {path} as {path.suffix[1:]}: {first_line(error)}"
        ) from error
