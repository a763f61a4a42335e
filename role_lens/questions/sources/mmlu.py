"""Gives the questions of MMLU (Hendrycks et al. 2021, arXiv 2009.03300), `cais/mmlu` on the hub."""

from collections.abc import Sequence
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.questions.domains import domain_of
from role_lens.questions.question import Question


def load(split: str) -> list[Question]:
    """Questions of one split, of all subjects.

    Args:
        split: `test`, `validation` or `dev`.

    Raises:
        RoleLensError: the data set can't be loaded.
    """
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
