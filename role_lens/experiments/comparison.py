"""Runs a comparison: chooses a direction per role, tests it once on other questions, beside
controls.

    table = compare(model, vectors, Exam(load_questions("builtin")), "verdict")
    table[["role", "add", "verdict"]]

The parts are in other files: `selection`, `null_band`, `conditions`, `condition_scores`, and
`judgement`, which gives the verdict.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from role_lens._run.exclusive import with_usual_defaults
from role_lens.chat import chat_text, template_identity
from role_lens.checks import check_is
from role_lens.compute import Compute
from role_lens.errors import RoleLensError, warn
from role_lens.experiments.candidates import candidates_of
from role_lens.experiments.condition_scores import open_conditions, score_conditions
from role_lens.experiments.conditions import (
    Condition,
    baseline,
    judged_conditions,
    other_conditions,
    random_conditions,
)
from role_lens.experiments.judgement import DomainScores, judge, summary
from role_lens.experiments.null_band import RandomChoice, choose_random
from role_lens.experiments.options import Exam, Selection, TestPlan
from role_lens.experiments.selection import Choice, folder_of, select_by_domain
from role_lens.experiments.settings import settings_of
from role_lens.experiments.shuffled_labels import prompt_tokens, shuffled_by_role
from role_lens.experiments.store import claimed
from role_lens.files import as_path, write_json, write_table
from role_lens.models import Model, model_name
from role_lens.prompts import NEUTRAL_PERSONA
from role_lens.questions.domains import homes_among
from role_lens.questions.question import Question
from role_lens.questions.splits import check_numbers, divide, sample_each, sample_questions
from role_lens.scoring.asked import AskedQuestions, Asker
from role_lens.scoring.identity import content_hash, hash_of_vectors
from role_lens.vectors import RoleVectors, check_vectors
from role_lens.versions import package_versions


@with_usual_defaults
def compare(
    model: Model,
    vectors: RoleVectors,
    exam: Exam,
    out: str | Path,
    selection: Selection = Selection(),
    plan: TestPlan = TestPlan(),
    compute: Compute = Compute(),
) -> pd.DataFrame:
    """Choose a direction for each role, and test it once on other questions, beside its controls.

    A role's direction is chosen by `select`, on the validation questions of its own domain. Random
    directions are chosen alike by `choose_random`, from random rotations of all the role's
    candidates; their effects are the null band. With these choices fixed, the test questions are
    asked

    - plain (the baseline), and with the persona prompt "You are a <role>.";
    - with the direction added, and with it ablated;
    - with its shared part added, and with its specific part, each at its own size and as long as
      the whole (see `shared_and_specific`);
    - with the random directions added;
    - only in the role's own domain: with the other phrasings of the persona prompt and one without
      a role, with directions from shuffled labels, and with every other role's direction.

    Args:
        vectors: role vectors. Directions from shuffled labels need the prompts of the fit, see
            `RoleVectors.with_prompts`; the built-in ones are known.
        exam: the questions that test and those that choose, how they are asked, and which role
            belongs to which domain.
        out: run folder: a new one, or one of the same comparison, which goes on where it was
            stopped.
        selection: candidates, objective and limits. A grid without roles takes those whose domain
            has questions. Random directions are chosen for log p(correct), which is what is judged,
            whatever the objective.
        plan: numbers of controls, limits of questions, permutations, seed.
        compute: batches and progress.

    Returns:
        One row per role and domain, see `role_lens.experiments.summary`: effects (mean change of
        log p(correct), nats) side by side; for the addition an interval, adjusted p values, and the
        verdict; and what was chosen. `out` holds it as `comparison.parquet`, the effects of all
        conditions as `effects.parquet`, what was chosen as `choices.parquet`, and the options as
        `comparison.json`.

    Raises:
        RoleLensError: a role without a domain, fewer than 20 questions of a domain to choose or to
            test (questions that are given for both only test), a folder that holds another
            comparison (the message names what differs), and all that `select` and `sweep` raise.

    Warns:
        UserWarning: fewer random directions of some role than planned were within the limit of the
            KL divergence, the prompts of the fit aren't known, or the chat template takes no system
            message.

    Examples:
        >>> exam = Exam(many_questions, domains={"poet": "verse"})
        >>> selection = Selection(Grid(roles=("poet",), layers=(1,)), max_kl=None)
        >>> plan, quiet = TestPlan(n_shuffled=0, max_off_domain=0), Compute(progress=False)
        >>> table = compare(model, vectors, exam, folder / "run", selection, plan, quiet)
        >>> table[["role", "domain", "n"]].values.tolist()
        [['poet', 'verse', 20]]
    """
    check_vectors(vectors)
    check_is(exam, Exam, "exam")
    check_is(selection, Selection, "selection")
    check_is(plan, TestPlan, "plan")
    prepared = _prepare(Asker(model, exam.asking, compute), vectors, exam, out, selection, plan)
    with claimed(prepared.folder, _identity(prepared, vectors, exam)):
        for test in prepared.tests:  # may refuse, before the long part
            open_conditions(test.asked, test.folder)
        chosen = _choose(prepared, vectors)
        scores = _test(prepared, vectors, chosen)
        effects = judge(scores, permutations=plan.permutations, seed=plan.seed)
        return _write(prepared, vectors, chosen, effects)


def check_exam(vectors: RoleVectors, exam: Exam, selection: Selection, plan: TestPlan) -> None:
    """Raise a RoleLensError if `compare` would refuse an exam, for reasons that need no model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `compare` will warn
        divided = _divide(vectors, exam, selection, plan)
    candidates_of(vectors, selection.of_roles(list(divided.homes)).within(vectors.n_layers).grid)


@dataclass(frozen=True, eq=False)
class _Divided:
    """Which role is judged on which questions."""

    homes: Mapping[str, str]
    """Role -> its domain."""
    choosing: Mapping[str, Sequence[Question]]
    """Domain -> the questions that choose."""
    tests: Sequence[tuple[str, bool, Sequence[Question]]]
    """Domain, whether it is that of the tested roles, and the questions that test."""


@dataclass(frozen=True, eq=False)
class _Test:
    """The test questions of one domain, for its own roles or for all others."""

    domain: str
    in_domain: bool
    asked: AskedQuestions
    folder: Path


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What is to be done, once all that may be refused has been checked."""

    asker: Asker
    selection: Selection
    plan: TestPlan
    homes: Mapping[str, str]
    """Role -> its domain."""
    choosing: Mapping[str, AskedQuestions]
    """Domain -> the questions that choose."""
    tests: Sequence[_Test]
    prompt_tokens: Any
    """Tokens of the prompts of the fit, for directions from shuffled labels; None to go without."""
    folder: Path


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The directions that are tested."""

    choices: Mapping[str, Choice]
    random: Mapping[str, Sequence[RandomChoice]]
    shuffled: Mapping[str, Float[Tensor, "n d_model"]]


def _divide(vectors: RoleVectors, exam: Exam, selection: Selection, plan: TestPlan) -> _Divided:
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
    return _Divided(homes, choosing, tests)


def _prepare(
    asker: Asker,
    vectors: RoleVectors,
    exam: Exam,
    out: str | Path,
    selection: Selection,
    plan: TestPlan,
) -> _Prepared:
    """Divide and tokenise the questions, which may refuse, before a folder is made."""
    vectors.check(asker.model)
    divided = _divide(vectors, exam, selection, plan)
    tokens = prompt_tokens(asker.model, vectors) if plan.n_shuffled else None
    folder = as_path(out)
    return _Prepared(
        asker,
        selection.of_roles(list(divided.homes)).within(vectors.n_layers),
        plan,
        divided.homes,
        {domain: asker.ask(some) for domain, some in divided.choosing.items()},
        [
            _Test(
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


def _identity(prepared: _Prepared, vectors: RoleVectors, exam: Exam) -> dict[str, Any]:
    """What tells the comparison from others, as JSON values."""
    asker = prepared.asker
    return {
        "run": "comparison",
        **asker.model_identity,
        "vectors": hash_of_vectors(vectors),
        **template_identity(asker.model),
        **settings_of(prepared.selection, prepared.plan),
        **settings_of(asker.asking, leave_out=("examples",)),
        "examples": _hashed(asker.asking.examples),
        "questions": _hashed(exam.questions),
        "validation": None if exam.validation is None else _hashed(exam.validation),
        "domains": dict(prepared.homes),
        "prompts of the fit are known": prepared.prompt_tokens is not None,
    }


def _hashed(questions: Sequence[Question]) -> str:
    return content_hash([astuple(question) for question in questions])


def _choose(prepared: _Prepared, vectors: RoleVectors) -> _Chosen:
    """A direction for each role, and random ones that are chosen like it."""
    homes, plan, out = prepared.homes, prepared.plan, prepared.folder / "selection"
    selection = prepared.selection
    choices = select_by_domain(prepared.choosing, vectors, out, selection, homes)
    random: dict[str, list[RandomChoice]] = {role: [] for role in choices}
    for domain in sorted({homes[role] for role in choices}):
        own = selection.of_roles([role for role in choices if homes[role] == domain])
        asked = prepared.choosing[domain]
        for one in choose_random(asked, vectors, folder_of(out, domain), own, plan):
            random[one.role].append(one)
    _warn_of_bands(random, plan.n_random)
    shuffled = shuffled_by_role(
        prepared.asker.model,
        vectors,
        list(choices.values()),
        prepared.prompt_tokens,
        plan.n_shuffled,
        plan.seed,
    )
    return _Chosen(choices, random, shuffled)


def _test(prepared: _Prepared, vectors: RoleVectors, chosen: _Chosen) -> list[DomainScores]:
    """Ask all test questions under all conditions."""
    ask_persona = _takes_system(prepared.asker)
    scores = []
    for test in prepared.tests:
        conditions: list[Condition] = []
        for role, choice in chosen.choices.items():
            if (prepared.homes[role] == test.domain) != test.in_domain:
                continue
            conditions += judged_conditions(vectors, choice, ask_persona=ask_persona)
            conditions += random_conditions(chosen.random[role])
            if test.in_domain:
                mixed = chosen.shuffled[role]
                conditions += other_conditions(vectors, choice, mixed, ask_persona=ask_persona)
        if conditions:
            scores.append(
                score_conditions(
                    test.asked,
                    [baseline(), *conditions],
                    test.folder,
                    domain=test.domain,
                    in_domain=test.in_domain,
                )
            )
    return scores


def _write(
    prepared: _Prepared, vectors: RoleVectors, chosen: _Chosen, effects: pd.DataFrame
) -> pd.DataFrame:
    """Write tables and options, and give the table of roles and domains."""
    folder = prepared.folder
    made = pd.DataFrame([choice.row() for choice in chosen.choices.values()])
    what = made.set_index("role")[["contrast", "layer", "position", "coefficient"]]
    table = summary(effects, prepared.homes).join(
        what.astype({"layer": "Int64", "position": "Int64"}), "role"
    )
    write_table(folder / "choices.parquet", made)
    write_table(folder / "effects.parquet", effects)
    write_table(folder / "comparison.parquet", table)
    asking = prepared.asker.asking
    record = {
        "model": model_name(prepared.asker.model),
        "vectors": hash_of_vectors(vectors),
        "asking": {**asdict(replace(asking, examples=())), "examples": len(asking.examples)},
        "selection": asdict(prepared.selection),
        "plan": asdict(prepared.plan),
        "domains": dict(prepared.homes),
        "versions": package_versions(),
    }
    write_json(folder / "comparison.json", record)
    return table


def _warn_of_bands(random: Mapping[str, Sequence[RandomChoice]], n: int) -> None:
    """Say whose band is thinner than asked for: rotations without a direction within max_kl."""
    few = {role: len(band) for role, band in random.items() if len(band) < n}
    if few:
        found = ", ".join(f"{role} ({number})" for role, number in few.items())
        warn(
            f"fewer than {n} random directions had a KL divergence within max_kl, so these null "
            f"bands are smaller: {found}; raise max_kl to fill them"
        )


def _takes_system(asker: Asker) -> bool:
    """Whether the chat template takes a system message, and so a persona prompt."""
    try:
        chat_text(asker.model, "Hello?", NEUTRAL_PERSONA)
    except RoleLensError as error:
        warn(f"no persona prompts are asked: {error}")
        return False
    return True
