"""Reads JSON Lines, and JSON in the forms in which rows are kept.

These are a list of rows; rows one after another; an object with one list, such as
`{"data": [...]}`; columns, as pandas writes them; and an object of rows by their ids.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.files import read_text
from role_lens.rows.row import NoRowsError, Row, field_name, numbered

_SPACE = re.compile(r"\s*")


def json_rows(path: Path, known: Collection[str]) -> list[Row]:
    """Rows of a file of JSON Lines or JSON.

    Args:
        known: names of fields, of which every row has at least one.

    Raises:
        NoRowsError: it holds several lists of rows.
        RoleLensError: the file can't be read, or isn't JSON; the message names file and line.
    """
    text = read_text(path)
    # Only "\n" ends a record: str.splitlines would also cut at U+2028 inside a string.
    lines = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if lines and _is_object(lines[0][1]):
        places = [(n, f"{path}, line {n}", line) for n, line in lines]
        rows = [Row(n, place, _parsed(line, place)) for n, place, line in places]
    else:
        rows = numbered(path, _values_in(text, path))
    if len(rows) != 1:
        return rows
    value = rows[0].value
    if isinstance(value, list):
        return numbered(path, value)
    inside = None
    if isinstance(value, dict) and not _is_row(value, known):
        inside = _rows_inside(value, known, path)
    return rows if inside is None else numbered(path, inside)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _parsed(line: str, place: str) -> Any:
    try:
        return _without_surrogates(json.loads(line))
    except (ValueError, RecursionError) as error:
        raise RoleLensError(f"{place}: not valid JSON ({error})") from error


def _values_in(text: str, path: Path) -> Iterator[Any]:
    """Values that follow one another, as pretty-printed objects do."""
    decoder, start = json.JSONDecoder(), 0
    while (start := _after_space(text, start)) < len(text):
        try:
            value, start = decoder.raw_decode(text, start)
            yield _without_surrogates(value)
        except (ValueError, RecursionError) as error:
            line = getattr(error, "lineno", text.count("\n", 0, start) + 1)
            raise RoleLensError(f"{path}, line {line}: not valid JSON ({error})") from error


def _after_space(text: str, start: int) -> int:
    found = _SPACE.match(text, start)
    return found.end() if found else start


def _without_surrogates(value: Any) -> Any:
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone halves of a character raise
    return value


def _is_row(value: Mapping[str, Any], known: Collection[str]) -> bool:
    return any(field_name(name) in known and not _is_column(one) for name, one in value.items())


def _is_column(value: Any) -> bool:
    """Whether it is a column of a table: a list, or as pandas writes it row number -> value."""
    by_number = isinstance(value, dict) and all(str(key).isdecimal() for key in value)
    return isinstance(value, list) or by_number


def _rows_inside(value: Mapping[str, Any], known: Collection[str], path: Path) -> list[Any] | None:
    """The rows of an object that is no row: of its columns, of the one list that it holds, or of
    its values, whose names are then their ids; None if it has none."""
    if any(field_name(name) in known for name in value):
        columns = {name: one for name, one in value.items() if _is_column(one)}
        rows = next((list(one) for one in columns.values() if isinstance(one, dict)), [])
        if any({*one} != {*rows} for one in columns.values() if isinstance(one, dict)):
            raise RoleLensError(f"{path} holds columns of different rows")
        cells = [
            [one[row] for row in rows] if isinstance(one, dict) else one for one in columns.values()
        ]
        if len({len(one) for one in cells}) > 1:
            raise RoleLensError(f"{path} holds columns of different lengths")
        return [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]
    lists = {name: one for name, one in value.items() if _is_list_of_rows(name, one, known)}
    if len(lists) > 1:
        raise NoRowsError(
            f"{path} holds several lists ({', '.join(lists)}): write each to a file of its own"
        )
    if lists:
        return next(iter(lists.values()))
    if all(isinstance(one, dict) and _is_row(one, known) for one in value.values()):
        return [{"id": name, **one} for name, one in value.items()]
    return None


def _is_list_of_rows(name: str, value: Any, known: Collection[str]) -> bool:
    """Whether it is a list of objects; or of texts, by a name that says that they are rows."""
    if not isinstance(value, list) or not value:
        return False
    of_texts = name in ("data", "rows", "examples") or field_name(name).removesuffix("s") in known
    return all(isinstance(one, dict) or (isinstance(one, str) and of_texts) for one in value)
