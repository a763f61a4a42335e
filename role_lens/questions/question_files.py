"""Reads questions out of files in whatever form their benchmark has them.

    read_questions(Path("questions.csv"))
    read_numeric_questions(Path("sums.jsonl"))

A warning names the form in which a file was read, unless it is the package's own.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from role_lens.errors import RoleLensError, warn
from role_lens.questions.domains import domain_of
from role_lens.questions.known_forms import KNOWN, OWN, form_of, option_fields
from role_lens.questions.question import NumericQuestion, Question, plain_name
from role_lens.questions.row_form import PASSAGE, Draft, RowForm
from role_lens.rows.fields import filled, first_of, joined_text
from role_lens.rows.reading import ENDINGS, read_all, read_rows
from role_lens.rows.row import NoRowsError, Row
from role_lens.values import errors_of

Kind = TypeVar("Kind", Question, NumericQuestion)

_STRICT = (".jsonl",)
_NUMERIC_TEXT = "question|problem|query"
_NUMERIC_KEY = "answer|final_answer|final_ans"
_ABOUT = f"body|{PASSAGE}"  # what the question is about; `body` in SVAMP


def read_questions(path: Path) -> list[Question]:
    """Multiple-choice questions of a file, or of all files in a folder.

    Raises:
        RoleLensError: there is nothing, or a malformed row; the message names file and row.
    """
    sets = read_all(path, _read_set, "question", ENDINGS, _STRICT)
    questions = _joined([(one.path, one.questions) for one in sets])
    _tell_forms([one for one in sets if one.form])
    return questions


def read_numeric_questions(path: Path) -> list[NumericQuestion]:
    """Questions whose answer is a number, of a file or of all files in a folder.

    Raises:
        RoleLensError: as `read_questions`, or a row has options.
    """
    return _joined(read_all(path, _read_numeric, "question", ENDINGS, _STRICT))


@dataclass(frozen=True)
class _Set:
    """The multiple-choice questions of a file."""

    path: Path
    questions: list[Question]
    form: str = ""
    """The form of its rows in words; empty if that is the package's own."""


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
    return _Set(path, questions, _in_words(form, drafts, among))


def _in_words(form: RowForm, drafts: Sequence[Draft], among: set[str]) -> str:
    has_passage = any(draft.has_passage for draft in drafts)
    if form is OWN and not has_passage and all(map(_is_own, drafts)):
        return ""
    if form.is_shuffled:
        key = "whose options were put in an order drawn for each text"
    elif form.right:
        key = "whose right option is marked"
    else:
        used = (next(way for way in draft.ways if way in among or not among) for draft in drafts)
        key = f"whose answer is {' or '.join(dict.fromkeys(used))}"
    return f"{form.name}{' after a passage' if has_passage else ''}, {key}"


def _is_own(draft: Draft) -> bool:
    """Whether a row of the package's own form has its options and key as the form says."""
    return isinstance(draft.fields["choices"], list) and type(draft.key) is int


def _question(draft: Draft, form: RowForm, among: set[str], path: Path) -> Question:
    choices, right = draft.settled(among, is_shuffled=form.is_shuffled)
    group = _file_group(path)
    named = re.sub("_(test|val|dev|train|validation)$", "", group) if form.is_subject else None
    given = filled(draft.fields, form.subject, default=named)
    subject = group if given is None else str(given)
    return Question(
        id=filled(draft.fields, form.id, default=_place_id(path, draft.row)),
        question=draft.text,
        choices=tuple(choices),
        answer=right,
        subject=subject,
        domain=str(
            filled(draft.fields, "domain", default=group if given is None else domain_of(subject))
        ),
    )


def _read_numeric(path: Path) -> tuple[Path, list[NumericQuestion]]:
    rows = read_rows(path, _NUMERIC_TEXT.split("|"))
    if rows and not rows[0].has(_NUMERIC_TEXT.split("|")):
        raise NoRowsError(f"{rows[0].place}: expected the fields question and answer")
    questions = []
    for row in rows:
        with errors_of(row.place):
            questions.append(_numeric_question(row, path))
    return path, questions


def _numeric_question(row: Row, path: Path) -> NumericQuestion:
    fields, group = row.fields, _file_group(path)
    if there := option_fields(fields):
        raise RoleLensError(
            f"there are options in {', '.join(there)}: read them with load_questions, or leave "
            "them out if the answer is a number and no option"
        )
    return NumericQuestion(
        id=filled(fields, "id", default=_place_id(path, row)),
        question=joined_text(fields, _ABOUT, _NUMERIC_TEXT),
        answer=first_of(fields, _NUMERIC_KEY),
        subject=str(filled(fields, "subject", default=group)),
        domain=str(filled(fields, "domain", default=group)),
    )


def _place_id(path: Path, row: Row) -> str:
    """The id of a question whose row has none: where it stands."""
    return f"{plain_name(path.stem)}:{row.number}"


def _file_group(path: Path) -> str:
    """What a file's name says of its questions: all but the number of a part, as in
    `test-00000-of-00002.parquet`."""
    return plain_name(re.sub(r"-\d+-of-\d+$", "", path.stem))


def _joined(files: Sequence[tuple[Path, list[Kind]]]) -> list[Kind]:
    """The questions of several files, with a warning if an id is there twice.

    Raises:
        RoleLensError: two files have the same name, and so perhaps the same questions.
    """
    seen: dict[str, Path] = {}
    for path, questions in files:
        other = seen.setdefault(plain_name(path.stem), path) if questions else path
        if other != path:
            raise RoleLensError(
                f"{path} and {other.name} have the same name: remove one of them if they hold the "
                "same questions, or else rename it"
            )
    joined = [question for _, questions in files for question in questions]
    repeated = [name for name, n in Counter(one.id for one in joined).items() if n > 1]
    if repeated:
        warn(
            f"some ids belong to several questions, such as {repeated[0]!r}: tables of scores tell "
            "questions apart by their ids"
        )
    return joined


def _tell_forms(sets: Sequence[_Set]) -> None:
    """Warn of the form in which files were read, once for all of one form."""
    for form in dict.fromkeys(one.form for one in sets):
        some = [one for one in sets if one.form == form]
        questions = [question for one in some for question in one.questions]
        sizes = sorted({len(question.choices) for question in questions})
        files = some[0].path.name
        if len(some) > 1:
            files = f"{len(some)} files ({files}, ...) in {some[0].path.parent}"
        n = f"{len(questions)} question{'s' if len(questions) > 1 else ''}"
        warn(
            f"{files}: read as rows of {form}: {n} of "
            f"{' to '.join(map(str, sizes[:: max(1, len(sizes) - 1)]))} options"
        )
