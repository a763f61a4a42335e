"""Divides the questions of an exam: some choose a role's direction, others test it.

    divide_exam(vectors, exam, selection, plan).homes    # role -> the domain it is judged on

No question does both.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import candidates_of
from role_lens.experiments.options import Exam, Selection, TestPlan
from role_lens.questions.domains import homes_among
from role_lens.questions.question import Question
from role_lens.questions.splits import check_numbers, divide, sample_each, sample_questions
from role_lens.vectors import RoleVectors


@dataclass(frozen=True, eq=False)
class Divided:
    """Which role is judged on which questions."""

    homes: Mapping[str, str]
    """Role -> its domain."""
    choosing: Mapping[str, Sequence[Question]]
    """Domain -> the questions that choose."""
    tests: Sequence[tuple[str, bool, Sequence[Question]]]
    """Domain, whether it is that of the tested roles, and the questions that test."""


def divide_exam(vectors: RoleVectors, exam: Exam, selection: Selection, plan: TestPlan) -> Divided:
    """Divide the questions into those that choose and those that test."""
    if not exam.questions or (exam.validation is not None and not exam.validation):
        raise RoleLensError(
            "compare needs at least one question to choose and one to test, got none"
        )
    if selection.grid.roles == ():
        raise RoleLensError("compare needs at least one role, got none")
    homes = homes_among(
        vectors, selection.grid.roles, exam.domains, (one.domain for one in exam.questions)
    )
    choosing, testing = divide(exam.questions, exam.validation, homes, plan.seed)
    choosing = sample_each(choosing, plan.max_validation, seed=plan.seed)
    tests = [
        (domain, in_domain, sample_questions(asked, limit, seed=plan.seed))
        for in_domain, limit in ((True, plan.max_questions), (False, plan.max_off_domain))
        for domain, asked in testing.items()
        if any((home == domain) == in_domain for home in homes.values())
        and (in_domain or limit != 0)
    ]
    check_numbers(choosing, tests)
    return Divided(homes, choosing, tests)


def check_exam(vectors: RoleVectors, exam: Exam, selection: Selection, plan: TestPlan) -> None:
    """Raise a RoleLensError if `compare` would refuse an exam, for reasons that need no model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `compare` will warn
        divided = divide_exam(vectors, exam, selection, plan)
    candidates_of(vectors, selection.of_roles(list(divided.homes)).within(vectors.n_layers).grid)
