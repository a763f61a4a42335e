"""Multiple-choice questions and their prompt templates. Knows no model."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

from role_lens.errors import RoleLensError
from role_lens.files import as_path, read_jsonl
from role_lens.prompts import DATA
from role_lens.questions.domains import domain_of

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Template = Literal["paper", "mmlu"]


@dataclass(frozen=True)
class Question:
    """One multiple-choice question; `answer` is the index of the right choice."""

    id: str
    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str
    domain: str

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise RoleLensError(f"question {self.id}: the text is empty")
        if len(self.choices) < 2:
            raise RoleLensError(
                f"question {self.id}: expected at least 2 choices, got {len(self.choices)}"
            )
        if not all(choice.strip() for choice in self.choices):
            raise RoleLensError(f"question {self.id}: a choice is empty")
        if not 0 <= self.answer < len(self.choices):
            raise RoleLensError(
                f"question {self.id}: the answer {self.answer} is outside the choices, "
                f"0 to {len(self.choices) - 1}"
            )


@dataclass(frozen=True)
class NumericQuestion:
    """One question whose answer is a number."""

    id: str
    question: str
    answer: Fraction
    subject: str
    domain: str


def load_questions(
    source: str | Path = "builtin",
    *,
    domain: str | None = None,
    subject: str | None = None,
    split: str = "test",
) -> list[Question]:
    """Multiple-choice questions.

    Args:
        source: `"builtin"` (8 domains of 40 questions), `"mmlu"` (`cais/mmlu` from the Hugging
            Face hub), or a JSONL file or folder of them with `question`, `choices`, `answer`
            (index from 0) and optionally `subject`, `domain`, `id`. Without a domain it is that
            of the MMLU subject, any other subject itself, or without one the name of the file.
        domain: keep only this domain.
        subject: keep only this subject.
        split: of MMLU.

    Raises:
        RoleLensError: nothing there, malformed rows (with file and line), an unknown domain or
            subject.
    """
    if source == "mmlu":
        questions = _load_mmlu(split)
    else:
        path = DATA / "questions" if source == "builtin" else as_path(source)
        if not path.exists():
            raise RoleLensError(
                f"no questions at {source}: expected 'builtin', 'mmlu', or a JSONL file or folder"
            )
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        questions = [question for file in files for question in _read_file(file)]
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
    """Questions whose answer is a number, from a JSONL file.

    Fields `question` and `answer`: a number, or a text that ends in one after `####`, as in GSM8K
    (Cobbe et al. 2021, arXiv 2110.14168); optional `id`, `subject`, `domain`.

    Args:
        domain: keep only this domain.

    Raises:
        RoleLensError: no such file, a malformed row, or no rows (of this domain).
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


def question_text(question: Question, template: Template = "paper") -> str:
    """The question as a prompt that asks for a letter.

    `paper` is the layout of arXiv 2502.12055; `mmlu` that of Hendrycks et al. 2021
    (arXiv 2009.03300): question, one `A. choice` a line, `Answer:`.

    Raises:
        RoleLensError: an unknown template, more choices than letters.
    """
    if template not in get_args(Template):
        raise RoleLensError(f"template must be one of {get_args(Template)}, got {template!r}")
    indent = "\n\t\t\t" if template == "paper" else "\n"
    text = question.question if template == "paper" else question.question.strip()
    lines = [text, *lettered(question)]
    if template == "paper":
        lines.append("Answer with the letter of the correct answer.")
    return indent.join([*lines, "Answer:"])


def lettered(question: Question) -> list[str]:
    """`A. choice` for each choice.

    Raises:
        RoleLensError: more choices than letters.
    """
    if len(question.choices) > len(LETTERS):
        raise RoleLensError(
            f"question {question.id} has {len(question.choices)} choices, more than there are "
            "letters: use scoring='cloze'"
        )
    return [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(question.choices)]


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


def _load_mmlu(split: str) -> list[Question]:
    import datasets

    try:
        rows: Sequence[Any] = datasets.load_dataset("cais/mmlu", "all", split=split)
    except Exception as error:  # the hub client raises many kinds
        raise RoleLensError(
            f"can't load MMLU ({split}) from the Hugging Face hub: {error}"
        ) from error
    return [
        Question(
            id=f"mmlu:{split}:{number}",
            question=row["question"],
            choices=tuple(row["choices"]),
            answer=int(row["answer"]),
            subject=row["subject"],
            domain=domain_of(row["subject"]),
        )
        for number, row in enumerate(rows)
    ]
