"""Holds a comparison once all that may be refused has been checked: what is asked, and of whom.

    prepared = prepare(asker, vectors, exam, "verdict", selection, plan)
    prepared.homes     # role -> the domain it is judged on

What is refused is refused here, before the long part begins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from role_lens.chat import template_identity
from role_lens.experiments.controls.shuffled_labels import prompt_tokens
from role_lens.experiments.dividing import divide_exam
from role_lens.experiments.options import Exam, Selection, TestPlan
from role_lens.experiments.selection import folder_of
from role_lens.experiments.settings import settings_of
from role_lens.files import as_path
from role_lens.questions.question import Question
from role_lens.scoring.asked import AskedQuestions, Asker
from role_lens.scoring.identity import content_hash, hash_of_vectors
from role_lens.values import errors_of
from role_lens.vectors import RoleVectors


@dataclass(frozen=True, eq=False)
class Test:
    """The test questions of one domain, for its own roles or for all others."""

    domain: str
    in_domain: bool
    asked: AskedQuestions
    folder: Path


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is to be done, once all that may be refused has been checked."""

    asker: Asker
    selection: Selection
    unguarded: Selection
    """The same without the limit of the KL divergence, and of all layers."""
    plan: TestPlan
    homes: Mapping[str, str]
    """Role -> its domain."""
    choosing: Mapping[str, AskedQuestions]
    """Domain -> the questions that choose."""
    tests: Sequence[Test]
    prompt_tokens: Any
    """Tokens of the prompts of the fit, for directions from shuffled labels; None to go without."""
    folder: Path

    def of_roles(self, roles: Sequence[str]) -> "Prepared":
        """The same for some roles, without domains that none of them needs."""
        homes = {role: self.homes[role] for role in roles}
        return replace(
            self,
            homes=homes,
            selection=self.selection.of_roles(roles),
            unguarded=self.unguarded.of_roles(roles),
            choosing={d: asked for d, asked in self.choosing.items() if d in homes.values()},
            tests=[
                test
                for test in self.tests
                if any((home == test.domain) == test.in_domain for home in homes.values())
            ],
        )

    def identity(self, vectors: RoleVectors, exam: Exam) -> dict[str, Any]:
        """What tells the comparison from others, as JSON values."""
        asker = self.asker
        return {
            "run": "comparison",
            **asker.model_identity,
            "vectors": hash_of_vectors(vectors),
            **template_identity(asker.model),
            **settings_of(self.selection, self.plan),
            **settings_of(asker.asking, leave_out=("examples",)),
            "examples": _hashed(asker.asking.examples),
            "questions": _hashed(exam.questions),
            "validation": None if exam.validation is None else _hashed(exam.validation),
            "domains": dict(self.homes),
            "prompts of the fit are known": self.prompt_tokens is not None,
        }


def prepare(
    asker: Asker,
    vectors: RoleVectors,
    exam: Exam,
    out: str | Path,
    selection: Selection,
    plan: TestPlan,
) -> Prepared:
    """Divide and tokenise the questions, which may refuse, before a folder is made."""
    vectors.check(asker.model)
    divided = divide_exam(vectors, exam, selection, plan)
    tokens = prompt_tokens(asker.model, vectors) if plan.n_shuffled else None
    folder = as_path(out)
    own = selection.of_roles(list(divided.homes))
    prepared = Prepared(
        asker,
        own.within(vectors.n_layers),
        replace(own, leave_out_last=None, max_kl=None).within(vectors.n_layers),
        plan,
        divided.homes,
        {domain: asker.ask(some) for domain, some in divided.choosing.items()},
        [
            Test(
                domain,
                in_domain,
                asker.ask(some),
                folder_of(folder / ("in_domain" if in_domain else "off_domain"), domain),
            )
            for domain, in_domain, some in divided.tests
        ],
        tokens,
        folder,
    )
    for domain, asked in [
        *prepared.choosing.items(),
        *((t.domain, t.asked) for t in prepared.tests),
    ]:
        with errors_of(f"questions of {domain}"):
            _ = asked.margin_design  # refuses questions that can't tell knowledge
    return prepared


def _hashed(questions: Sequence[Question]) -> str:
    return content_hash([astuple(question) for question in questions])
