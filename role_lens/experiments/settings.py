"""Writes settings as names and JSON values, by which a run folder is known.

    settings_of(Selection(), TestPlan())    # {"objective": "margin", ..., "seed": 0}

The names are those of the command line's flags.
"""

from collections.abc import Collection
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any


def settings_of(*records: Any, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """The fields of records, and of the records in them, by their names.

    Args:
        records: dataclasses; none has a field that another has too.
        leave_out: names of fields that can't change the results.
    """
    found: dict[str, Any] = {}
    for record in records:
        for field in fields(record):
            value = getattr(record, field.name)
            if field.name in leave_out:
                continue
            if is_dataclass(value):
                found |= settings_of(value, leave_out=leave_out)
            else:
                found[field.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
