"""Reads tables of text: CSV, with the delimiter that fits, and tables with tabs."""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.files import read_text
from role_lens.rows.row import Row, field_name


def csv_rows(path: Path, known: Collection[str]) -> list[Row]:
    """Rows of a table with commas, semicolons, tabs or bars.

    Args:
        known: names of fields, one of which tells a header from a row.

    Raises:
        RoleLensError: the file can't be read, or its lines have different numbers of cells.
    """
    return _text_table(path, known, [{"delimiter": one} for one in ",;\t|"])


def tsv_rows(path: Path, known: Collection[str]) -> list[Row]:
    """Rows of a table with tabs; otherwise as `csv_rows`."""
    # Many such files don't quote, and have quotation marks in their texts.
    return _text_table(
        path, known, [{"delimiter": "\t"}, {"delimiter": "\t", "quoting": csv.QUOTE_NONE}]
    )


def _text_table(
    path: Path, known: Collection[str], dialects: Sequence[dict[str, Any]]
) -> list[Row]:
    """Rows of a table, by its header; without one the fields are `column_1_of_6` and so on."""
    records = _records(path, read_text(path), known, dialects)
    header = [field_name(cell) for cell in records[0][1]] if records else []
    if set(header) & set(known):
        twice = [name for name in header if name and header.count(name) > 1]
        if twice:
            raise RoleLensError(
                f"{path}, line {records[0][0]}: several columns have the name {twice[0]!r}"
            )
        records = records[1:]
    else:
        header = [f"column_{n}_of_{len(header)}" for n in range(1, len(header) + 1)]
    rows = []
    for line, cells in records:
        if len(cells) != len(header):
            raise RoleLensError(
                f"{path}, line {line}: expected {len(header)} cells as in the first line, got "
                f"{len(cells)}"
            )
        rows.append(Row(line, f"{path}, line {line}", dict(zip(header, cells, strict=True))))
    return rows


def _records(
    path: Path, text: str, known: Collection[str], dialects: Sequence[dict[str, Any]]
) -> list[tuple[int, list[str]]]:
    """Lines and cells in the first dialect that gives all lines as many cells, two or more or one
    under a known header; or else in the first."""
    tried: list[list[tuple[int, list[str]]] | csv.Error] = []
    for dialect in dialects:
        try:
            records = list(_parse(text, dialect))
        except csv.Error as error:
            tried.append(error)
            continue
        first = records[0][1] if records else []
        alike = all(len(cells) == len(first) for _, cells in records)
        if alike and (len(first) > 1 or any(field_name(cell) in known for cell in first)):
            return records
        tried.append(records)
    likeliest = tried[0]
    if isinstance(likeliest, csv.Error):
        raise RoleLensError(f"{path} is no valid table of text ({likeliest})") from likeliest
    return likeliest


def _parse(text: str, dialect: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), strict=True, skipinitialspace=True, **dialect)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f"line {line}: {error}") from error
