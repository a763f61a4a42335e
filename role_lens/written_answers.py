"""Defines answers that a model wrote, in a role or plain, and reads their file.

    read_answers("answers")[0].answer

`role_lens.writing.write_answers` writes them, and the finder `answers` makes directions of them.
"""

from dataclasses import dataclass
from pathlib import Path

from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.prompts import role_name
from role_lens.rows.reading import read_rows
from role_lens.values import errors_of, shown

ANSWERS = "answers.jsonl"
"""The file of a folder of answers."""
FEWEST = 4
"""Fewer answers of a role, or plain ones, are refused."""


@dataclass(frozen=True)
class WrittenAnswer:
    """An answer that a model wrote, in a role or plain."""

    role: str | None
    """The role that it was told to be; None for a plain answer."""
    system: str | None
    """The system message; None for the chat template's own."""
    question: str
    answer: str
    kept: bool = True
    """Whether the role judge found it to be in its role."""
    rank: int | None = None
    """The rank of its role, of all that the role judge chose from; None for a plain answer."""


def read_answers(path: str | Path) -> list[WrittenAnswer]:
    """Read answers that the model wrote.

    Args:
        path: the folder of `role_lens.writing.write_answers`, or a JSONL file of such rows.

    Raises:
        RoleLensError: no such file, or a row of another form.
    """
    place = as_path(path)
    if place.is_dir() and not (place / ANSWERS).is_file():
        raise RoleLensError(
            f"{path} holds no {ANSWERS}: writing may have been stopped; `role-lens answers` with "
            "the same folder goes on"
        )
    found = []
    for row in read_rows(place / ANSWERS if place.is_dir() else place, ["answer"]):
        with errors_of(row.place):
            found.append(_answer(row.fields))
    return found


def _answer(fields: dict[str, object]) -> WrittenAnswer:
    texts = {name: fields.get(name) for name in ("role", "system", "question", "answer")}
    for name, text in texts.items():
        if text is None and name in ("role", "system"):
            continue
        if not isinstance(text, str):
            raise RoleLensError(f"expected text in the field {name!r}, got {shown(text)}")
    role = None if texts["role"] is None else role_name(str(texts["role"]))
    system = None if texts["system"] is None else str(texts["system"])
    kept = fields.get("kept", True)
    if not isinstance(kept, bool):
        raise RoleLensError(f"expected true or false in the field 'kept', got {shown(kept)}")
    answer = str(texts["answer"])
    return WrittenAnswer(role, system, str(texts["question"]), answer, kept and bool(answer))
