"""Loads questions: built-in ones, benchmarks from the Hugging Face hub, and files.

    load_questions("builtin", domain="econ")
    load_questions("my_questions.jsonl")

Named sources are files in `role_lens.questions.sources`; the forms of benchmarks are in
`role_lens.questions.known_forms`.
"""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from role_lens._registry import Registry
from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.questions.question import NumericQuestion, Question, plain_name
from role_lens.questions.question_files import read_numeric_questions, read_questions
from role_lens.rows.reading import ENDINGS

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

    A row of a file has the fields `question`, `choices` (the options), `answer` (the index of the
    right one, from 0), and optionally `subject`, `domain`, `id` and `passage` (a text that comes
    before the question). Without a subject it gets the name of the file as subject and domain; with
    a subject but without a domain, the domain of this MMLU subject (see
    `role_lens.questions.domain_of`), or the subject itself where that has none.

    Read are also the rows of ARC, BIG-bench, CommonsenseQA, COPA, Cosmos QA, GPQA, HellaSwag,
    MedMCQA, MedQA, MMLU (its CSV too, whose subject is in the file's name), MMLU-Pro, OpenBookQA,
    PIQA, RACE, SciQ, Social IQa, SWAG, TruthfulQA and WinoGrande, and tables with the columns
    `question`, `A`, `B`, ..., `answer` or the like. An answer can be an index from 0, a letter, a
    label of the row's own or the text of one option. Where the right option always comes first
    (TruthfulQA, SciQ, GPQA), an order is drawn, always the same for a text. A warning names
    the form in which a file was read, unless it is the package's own.

    Hidden files in a folder are passed over, and files without questions are left out with a
    warning.

    Args:
        source: a file in `role_lens.questions.sources`, such as `"builtin"` (8 domains of 120
            questions) or `"mmlu"` (`cais/mmlu` from the Hugging Face hub); or a file or a folder of
            files: `.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet` or `.arrow`.
        domain: keep only this domain.
        subject: keep only this subject.
        split: which part of a benchmark, such as `test` or `validation`.

    Raises:
        RoleLensError: there is nothing at `source`, a row is malformed, has no answer or one that
            can mean two options (the message names file and row), or the domain or subject is
            unknown.

    Examples:
        >>> questions = load_questions("builtin", domain="econ")
        >>> len(questions), len(questions[0].choices)
        (120, 4)
    """
    name = str(source)
    questions = SOURCES[name](split) if name in SOURCES else _read_path(source)
    if not questions:
        raise RoleLensError(f"{source} holds no questions")
    for field, wanted in (("domain", domain), ("subject", subject)):
        if wanted is not None:
            wanted = plain_name(wanted)
            known = sorted({getattr(question, field) for question in questions})
            if wanted not in known:
                near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4) or known
                raise RoleLensError(f"unknown {field} {wanted!r}: nearest are {', '.join(near)}")
            questions = [q for q in questions if getattr(q, field) == wanted]
    return questions


def load_numeric_questions(
    source: str | Path, *, domain: str | None = None
) -> list[NumericQuestion]:
    """Load questions whose answer is a number, from a file or folder as `load_questions` reads.

    A row has the fields `question` and `answer`: a number, or a text that ends in one after
    `####`, as in GSM8K (Cobbe et al. 2021, arXiv 2110.14168); optionally `id`, `subject`, `domain`
    and `passage`.

    Args:
        domain: keep only this domain.

    Raises:
        RoleLensError: there is no such file, a row is malformed or has options, or there are no
            questions (of this domain).

    Examples:
        >>> line = '{"question": "How much is 3 + 4?", "answer": "3 + 4 = 7 #### 7"}'
        >>> _ = (folder / "sums.jsonl").write_text(line)
        >>> load_numeric_questions(folder / "sums.jsonl")[0].answer
        Fraction(7, 1)
    """
    path = as_path(source)
    found = read_numeric_questions(path)
    wanted = None if domain is None else plain_name(domain)
    kept = [one for one in found if wanted in (None, one.domain)]
    if not kept:
        raise RoleLensError(
            f"{path} holds no questions" + (f" of domain {domain!r}" if domain else "")
        )
    return kept


def _read_path(source: str | Path) -> list[Question]:
    path = as_path(source)
    if not os.path.exists(path):
        raise RoleLensError(
            f"no questions at {source}: expected one of {', '.join(SOURCES)}, or a file or folder "
            f"of {', '.join(ENDINGS)}"
        )
    return read_questions(path)
