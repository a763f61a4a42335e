"""Reads multiple-choice questions out of files in whatever form their benchmark has them.

    read_questions(Path("questions.csv"))

A warning names the form in which a file was read, unless it is the package's own.
"""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from role_lens.errors import RoleLensError
from role_lens.questions.domains import domain_of
from role_lens.questions.fields import filled
from role_lens.questions.form import Draft, Form
from role_lens.questions.forms import KNOWN, OWN, form_of
from role_lens.questions.question import Question, plain_name
from role_lens.rows.reading import ENDINGS, read_all, read_rows
from role_lens.rows.row import Row
from role_lens.values import errors_of


def read_questions(path: Path) -> list[Question]:
    """Questions of a file, or of all files in a folder.

    Raises:
        RoleLensError: there is nothing, or a malformed row; the message names file and row.
    """
    read = read_all(path, _read_set, "question", ENDINGS, strict=(".jsonl",))
    sets = [one for one in read if one.questions]
    _refuse_same_names(sets)
    _tell_forms([one for one in sets if not one.is_own])
    questions = [question for one in sets for question in one.questions]
    _tell_repeated_ids(questions)
    return questions


@dataclass(frozen=True)
class _Set:
    """The questions of a file, and the form in which it was read."""

    path: Path
    questions: list[Question]
    form: Form = OWN
    ways: tuple[str, ...] = ()
    """How its keys were read."""
    is_own: bool = True
    """Whether its rows are in the package's own form, keys included."""


def _read_set(path: Path) -> _Set:
    rows = read_rows(path, KNOWN)
    if not rows:
        return _Set(path, [])
    form = form_of(rows[0])
    drafts = []
    for row in rows:
        with errors_of(row.place):
            drafts.append(form.draft(row))
    # All keys of a file are meant in the same way, if there is a way for all.
    among = set.intersection(*(set(draft.ways) for draft in drafts))
    questions = []
    for draft in drafts:
        with errors_of(draft.row.place):
            questions.append(_question(draft, form, among, path))
    used = (next(way for way in draft.ways if way in among or not among) for draft in drafts)
    is_own = form is OWN and all(
        isinstance(draft.fields["choices"], list) and type(draft.key) is int for draft in drafts
    )
    return _Set(path, questions, form, tuple(dict.fromkeys(used)), is_own)


def _question(draft: Draft, form: Form, among: set[str], path: Path) -> Question:
    choices, right = draft.settled(among, is_shuffled=form.is_shuffled)
    group = file_group(path)
    named = re.sub("_(test|val|dev|train|validation)$", "", group) if form.is_subject else None
    given = filled(draft.fields, form.subject, default=named)
    subject = group if given is None else str(given)
    return Question(
        id=filled(draft.fields, form.id, default=place_id(path, draft.row)),
        question=draft.text,
        choices=tuple(choices),
        answer=right,
        subject=subject,
        domain=str(
            filled(draft.fields, "domain", default=group if given is None else domain_of(subject))
        ),
    )


def place_id(path: Path, row: Row) -> str:
    """The id of a question whose row has none: where it stands."""
    return f"{plain_name(path.stem)}:{row.number}"


def file_group(path: Path) -> str:
    """What a file's name says of its questions: all but the number of a part, as in
    `test-00000-of-00002.parquet`."""
    return plain_name(re.sub(r"-\d+-of-\d+$", "", path.stem))


def _refuse_same_names(sets: Sequence[_Set]) -> None:
    seen: dict[str, Path] = {}
    for one in sets:
        other = seen.setdefault(plain_name(one.path.stem), one.path)
        if other != one.path:
            raise RoleLensError(
                f"{one.path} and {other.name} have the same name: remove one of them if they hold "
                "the same questions, or else rename it"
            )


def _tell_forms(sets: Sequence[_Set]) -> None:
    """Warn of the form in which files were read, once for all of one form."""
    alike: dict[tuple[Form, tuple[str, ...]], list[_Set]] = {}
    for one in sets:
        alike.setdefault((one.form, one.ways), []).append(one)
    for (form, ways), some in alike.items():
        questions = [question for one in some for question in one.questions]
        sizes = sorted({len(question.choices) for question in questions})
        files = some[0].path.name
        if len(some) > 1:
            files = f"{len(some)} files ({files}, ...) in {some[0].path.parent}"
        n = f"{len(questions)} question{'s' if len(questions) > 1 else ''}"
        key = f"whose answer is {' or '.join(ways)}"
        if form.is_shuffled:
            key = "whose options were put in an order drawn for each text"
        warnings.warn(
            f"{files}: read as rows of {form.name}, {key}: {n} of "
            f"{' to '.join(map(str, sizes[:: max(1, len(sizes) - 1)]))} options",
            stacklevel=5,
        )


def _tell_repeated_ids(questions: Sequence[Question]) -> None:
    repeated = [name for name, n in Counter(one.id for one in questions).items() if n > 1]
    if repeated:
        warnings.warn(
            f"some ids belong to several questions, such as {repeated[0]!r}: tables of scores tell "
            "questions apart by their ids",
            stacklevel=5,
        )
