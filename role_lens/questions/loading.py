"""Loads questions: built-in ones, benchmarks from the Hugging Face hub, and JSONL files.

    load_questions("builtin", domain="econ")
    load_questions("my_questions.jsonl")

Named sources are files in `role_lens.questions.sources`.
"""

import difflib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from role_lens._registry import Registry
from role_lens.errors import RoleLensError
from role_lens.files import as_path, read_jsonl
from role_lens.questions.domains import domain_of
from role_lens.questions.question import NumericQuestion, Question

SOURCES: Registry[Callable[[str], list[Question]]] = Registry(
    "role_lens.questions.sources", "load", "question source"
)
"""Named sources of questions -> a function that gives the questions of a split."""


def load_questions(
    source: str | Path = "builtin",
    *,
    domain: str | None = None,
    subject: str | None = None,
    split: str = "test",
) -> list[Question]:
    """Load multiple-choice questions.

    Args:
        source: a file in `role_lens.questions.sources`, such as `"builtin"` (8 domains of 40
            questions) or `"mmlu"` (`cais/mmlu` from the Hugging Face hub); or a JSONL file, or a
            folder of them. A line of these has the fields `question`, `choices` (the options),
            `answer` (index of the right one, from 0), and optionally `subject`, `domain` and `id`.
            Without a subject it gets the name of the file, and without a domain that of its MMLU
            subject (see `role_lens.questions.domain_of`), or its subject where that has none.
        domain: keep only this domain.
        subject: keep only this subject.
        split: which part of a benchmark, such as `test` or `validation`.

    Raises:
        RoleLensError: there is nothing at `source`, a line is malformed (the message names file and
            line), or the domain or subject is unknown.

    Examples:
        >>> questions = load_questions("builtin", domain="econ")
        >>> len(questions), len(questions[0].choices)
        (40, 4)
    """
    name = str(source)
    questions = SOURCES[name](split) if name in SOURCES else read_questions(as_path(source))
    if not questions:
        raise RoleLensError(f"{source} holds no questions")
    for field, wanted in (("domain", domain), ("subject", subject)):
        if wanted is not None:
            known = sorted({getattr(question, field) for question in questions})
            if wanted not in known:
                near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4) or known
                raise RoleLensError(f"unknown {field} {wanted!r}: nearest are {', '.join(near)}")
            questions = [q for q in questions if getattr(q, field) == wanted]
    return questions


def load_numeric_questions(
    source: str | Path, *, domain: str | None = None
) -> list[NumericQuestion]:
    """Load questions whose answer is a number, from a JSONL file.

    A line has the fields `question` and `answer`: a number, or a text that ends in one after
    `####`, as in GSM8K (Cobbe et al. 2021, arXiv 2110.14168); optionally `id`, `subject` and
    `domain`.

    Args:
        domain: keep only this domain.

    Raises:
        RoleLensError: there is no such file, a line is malformed, or there are no questions (of
            this domain).

    Examples:
        >>> line = '{"question": "How much is 3 + 4?", "answer": "3 + 4 = 7 #### 7"}'
        >>> _ = (folder / "sums.jsonl").write_text(line)
        >>> load_numeric_questions(folder / "sums.jsonl")[0].answer
        Fraction(7, 1)
    """
    path = as_path(source)
    questions = []
    for number, row in read_jsonl(path):
        row = {key: value for key, value in row.items() if value is not None}
        answer = str(row.get("answer")).rpartition("####")[2].replace(",", "").strip()
        try:
            value = Fraction(answer)
        except (ValueError, ZeroDivisionError) as error:
            raise RoleLensError(
                f"{path}, line {number}: expected a number in the field 'answer', got {answer!r}"
            ) from error
        if not isinstance(row.get("question"), str):
            raise RoleLensError(f"{path}, line {number}: expected a string in the field 'question'")
        if not row["question"].strip():
            raise RoleLensError(f"{path}, line {number}: the text is empty")
        names = {key: str(row.get(key, path.stem)) for key in ("subject", "domain")}
        default = f"{path.stem}:{number}"
        questions.append(
            NumericQuestion(str(row.get("id", default)), row["question"], value, **names)
        )
    kept = [one for one in questions if domain in (None, one.domain)]
    if not kept:
        raise RoleLensError(
            f"{path} holds no questions" + (f" of domain {domain!r}" if domain else "")
        )
    return kept


def read_questions(path: Path) -> list[Question]:
    """Questions of a JSONL file, or of all JSONL files in a folder.

    Raises:
        RoleLensError: there is nothing, or a malformed line; the message names file and line.
    """
    if not path.exists():
        raise RoleLensError(
            f"no questions at {path}: expected one of {', '.join(SOURCES)}, or a JSONL file or "
            "folder"
        )
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    return [question for file in files for question in _read_file(file)]


def _read_file(path: Path) -> list[Question]:
    questions = []
    for number, row in read_jsonl(path):
        try:
            questions.append(_from_row(row, default_id=f"{path.stem}:{number}", group=path.stem))
        except RoleLensError as error:
            raise RoleLensError(f"{path}, line {number}: {error}") from error
    return questions


def _from_row(row: dict[str, Any], *, default_id: str, group: str) -> Question:
    row = {key: value for key, value in row.items() if value is not None}
    text, choices, answer = row.get("question"), row.get("choices"), row.get("answer")
    if not isinstance(text, str):
        raise RoleLensError(f"expected a string in the field 'question', got {text!r}")
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise RoleLensError(f"expected a list of strings in the field 'choices', got {choices!r}")
    if type(answer) is not int:
        raise RoleLensError(f"expected an index from 0 in the field 'answer', got {answer!r}")
    subject = str(row.get("subject", group))
    return Question(
        id=str(row.get("id", default_id)),
        question=text,
        choices=tuple(choices),
        answer=answer,
        subject=subject,
        domain=str(row.get("domain", domain_of(subject) if "subject" in row else group)),
    )
