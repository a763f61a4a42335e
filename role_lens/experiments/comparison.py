"""Runs a comparison: chooses a direction per role, tests it once on other questions, beside
controls.

    table = compare(model, vectors, Exam(load_questions("builtin")), "verdict")
    table[["role", "add", "verdict"]]

The parts are in other files: `selection`, `null_band`, `conditions`, `condition_scores`, and
`judgement`, which gives the verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from role_lens._run.exclusive import with_usual_defaults
from role_lens.chat import chat_text
from role_lens.checks import check_is
from role_lens.compute import Compute
from role_lens.errors import RoleLensError, warn
from role_lens.experiments.condition_kinds import ConditionKind
from role_lens.experiments.condition_scores import open_conditions, score_conditions
from role_lens.experiments.conditions import (
    Condition,
    baseline,
    judged_conditions,
    other_conditions,
    random_ablations,
    unguarded_condition,
)
from role_lens.experiments.controls.learned import Learning, learn_addition
from role_lens.experiments.controls.must_be_found import POSITIVE_COLUMNS, positive_controls
from role_lens.experiments.controls.null_band import RandomChoice, choose_random, random_conditions
from role_lens.experiments.controls.personas import choose_personas
from role_lens.experiments.controls.shuffled_labels import shuffled_by_role
from role_lens.experiments.judging.effects import DomainScores
from role_lens.experiments.judging.judgement import MIN_CONTROLS, judge
from role_lens.experiments.judging.summaries import summary
from role_lens.experiments.judging.verdicts import NOTHING_TO_JUDGE
from role_lens.experiments.knowing import domains_without_knowledge
from role_lens.experiments.options import Exam, Selection, TestPlan
from role_lens.experiments.prepared import Prepared, prepare
from role_lens.experiments.selection import CHOICE_COLUMNS, Choice, folder_of, select_by_domain
from role_lens.experiments.store import claimed
from role_lens.files import write_json, write_table
from role_lens.models import Model, model_name
from role_lens.patches.patch import Patch
from role_lens.prompts import NEUTRAL_PERSONA
from role_lens.scoring.asked import Asker
from role_lens.scoring.identity import hash_of_vectors
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

    - plain (the baseline), and with the persona prompt whose phrasing did best on the validation
      questions;
    - with the direction added, and with it ablated, with and without the first token;
    - with its shared part added, and with its specific part, each at its own size and as long as
      the whole (see `shared_and_specific`);
    - with the random directions added, and random ones ablated;
    - only in the role's own domain: with the direction that would have been chosen without the
      guards, if it is another; with other phrasings of the persona prompt and the chosen one
      without a role, with directions from shuffled labels, and with those of some other roles, none
      of which is chosen.

    Where the unchanged model's answers carry no knowledge of a domain (its mean margin isn't above
    0), there is nothing to judge, and its roles are left out, unless the plan says otherwise.

    Args:
        vectors: role vectors. Directions from shuffled labels need the prompts of the fit, see
            `RoleVectors.with_prompts`; the built-in ones are known.
        exam: the questions that test and those that choose, how they are asked, and which role
            belongs to which domain.
        out: run folder: a new one, or one of the same comparison, which goes on where it was
            stopped.
        selection: candidates, objective and limits. A grid without roles takes those whose domain
            has questions. Random directions are chosen for the margin, which is what is judged,
            whatever the objective.
        plan: numbers of controls, limits of questions, permutations, seed.
        compute: batches and progress.

    Returns:
        One row per role and domain, see `role_lens.experiments.summary`: effects (mean change of
        the margin) side by side; for the addition intervals, adjusted p values, and the verdict;
        and what was chosen. `out` holds it as `comparison.parquet`, the effects of all
        conditions as `effects.parquet`, what was chosen as `choices.parquet`, the controls that
        must be found as `positive.parquet` (see `positive_controls`), and the options as
        `comparison.json`.

    Raises:
        RoleLensError: a role without a domain, fewer than 20 questions of a domain to choose or to
            test (questions that are given for both only test), a folder that holds another
            comparison (the message names what differs), and all that `select` and `sweep` raise.

    Warns:
        UserWarning: no direction of some role, or fewer of its random directions than planned, were
            within the limit of the KL divergence, the prompts of the fit aren't known, or the chat
            template takes no system message.

    Examples:
        >>> exam = Exam(many_questions, domains={"poet": "verse"})
        >>> selection = Selection(Grid(roles=("poet",), layers=(1,)), max_kl=None)
        >>> plan = TestPlan(n_shuffled=0, max_off_domain=0, judge_all=True)
        >>> quiet = Compute(progress=False)
        >>> table = compare(model, vectors, exam, folder / "run", selection, plan, quiet)
        >>> table[["role", "domain", "n"]].values.tolist()
        [['poet', 'verse', 20]]
    """
    check_vectors(vectors)
    check_is(exam, Exam, "exam")
    check_is(selection, Selection, "selection")
    check_is(plan, TestPlan, "plan")
    prepared = prepare(Asker(model, exam.asking, compute), vectors, exam, out, selection, plan)
    with claimed(prepared.folder, prepared.identity(vectors, exam)):
        for test in prepared.tests:  # may refuse, before the long part
            open_conditions(test.asked, test.folder)
        unjudged = _without_knowledge(prepared)
        rest = prepared.of_roles([role for role in prepared.homes if role not in unjudged])
        write_table(prepared.folder / "positive.parquet", _positive_controls(rest, vectors))
        chosen, scores = _Chosen({}, {}, {}, {}, {}, {}), []
        if rest.homes:
            chosen = _choose(rest, vectors)
            scores = _test(rest, vectors, chosen)
        options = {"permutations": plan.permutations, "seed": plan.seed}
        effects = judge(scores, bound=plan.bound, judge_all=plan.judge_all, **options)
        return _write(prepared, vectors, chosen, effects, unjudged)


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The directions that are tested."""

    choices: Mapping[str, Choice]
    unguarded: Mapping[str, Choice]
    """What would have been chosen without the guards."""
    random: Mapping[str, Sequence[RandomChoice]]
    shuffled: Mapping[str, Float[Tensor, "n d_model"]]
    learned: Mapping[str, Patch]
    """Role -> the addition that was learned at the same layer, if any was."""
    personas: Mapping[str, int]
    """Role -> the phrasing of its persona prompt; empty where none can be asked."""


def _without_knowledge(prepared: Prepared) -> dict[str, str]:
    """Roles in whose domains the unchanged model knows nothing, and what is said of them; none if
    all are to be judged."""
    baselines = (
        score_conditions(test.asked, [baseline()], test.folder, domain=test.domain, in_domain=True)
        for test in prepared.tests
        if test.in_domain
    )
    unjudged = domains_without_knowledge(baselines, prepared.plan)
    return {role: NOTHING_TO_JUDGE for role, home in prepared.homes.items() if home in unjudged}


def _choose(prepared: Prepared, vectors: RoleVectors) -> _Chosen:
    """A direction for each role, and random ones that are chosen like it."""
    homes, plan, out = prepared.homes, prepared.plan, prepared.folder / "selection"
    selection = prepared.selection
    unguarded = select_by_domain(prepared.choosing, vectors, out, prepared.unguarded, homes)
    choices = select_by_domain(prepared.choosing, vectors, out, selection, homes)
    without = [role for role in homes if role not in choices]
    if without:
        warn(
            f"no direction of {', '.join(without)} is within the limit of the KL divergence, so "
            "none was chosen: raise max_kl, or try more candidates, in another run folder"
        )
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
    personas: dict[str, int] = {}
    if _takes_system(prepared.asker):
        for domain in sorted({homes[role] for role in choices}):
            own_roles = [role for role in choices if homes[role] == domain]
            place = folder_of(prepared.folder / "personas", domain)
            personas |= choose_personas(prepared.choosing[domain], own_roles, place)
    learned = {
        role: _learned(prepared, choice, choice.patch(vectors))
        for role, choice in choices.items()
        if plan.learning_steps
    }
    return _Chosen(choices, unguarded, random, shuffled, learned, personas)


def _learned(prepared: Prepared, choice: Choice, addition: Patch) -> Patch:
    """The addition at a role's layer, and no longer than the role's, that does most."""
    domain, plan = prepared.homes[choice.role], prepared.plan
    return learn_addition(
        prepared.choosing[domain],
        folder_of(prepared.folder / "learned", domain),
        layer=choice.spec.layer,
        length=abs(addition.value) * float(addition.direction.norm()),
        learning=Learning(steps=plan.learning_steps, seed=plan.seed),
    )


def _test(prepared: Prepared, vectors: RoleVectors, chosen: _Chosen) -> list[DomainScores]:
    """Ask all test questions under all conditions."""
    scores = []
    for test in prepared.tests:
        conditions: list[Condition] = []
        for role, choice in chosen.choices.items():
            if (prepared.homes[role] == test.domain) != test.in_domain:
                continue
            persona = chosen.personas.get(role)
            conditions += judged_conditions(vectors, choice, persona=persona)
            conditions += random_conditions(chosen.random[role])
            if test.in_domain:
                conditions += unguarded_condition(vectors, choice, chosen.unguarded[role])
                if role in chosen.learned:
                    patches = (chosen.learned[role],)
                    conditions.append(Condition(ConditionKind.LEARNED, role, patches=patches))
                mixed = chosen.shuffled[role]
                conditions += other_conditions(
                    vectors, choice, mixed, prepared.plan, persona=persona
                )
        if conditions:
            conditions += random_ablations(vectors, prepared.plan)
            score = partial(score_conditions, domain=test.domain, in_domain=test.in_domain)
            found = score(test.asked, [baseline(), *conditions], test.folder)
            if test.in_domain:
                hidden = [baseline(), *(one for one in conditions if one.kind.blind)]
                place = folder_of(prepared.folder / "blind", test.domain)
                blind = score(test.asked.blind(), hidden, place)
                found = replace(found, blind=blind)
            scores.append(found)
    return scores


def _positive_controls(prepared: Prepared, vectors: RoleVectors) -> pd.DataFrame:
    """What must be found in each domain, if anything can be; no rows if it isn't tried."""
    tables = [pd.DataFrame(columns=["domain", *POSITIVE_COLUMNS])]
    for test in prepared.tests:
        if test.in_domain and prepared.plan.positive_controls:
            choosing = prepared.choosing[test.domain]
            place = folder_of(prepared.folder / "positive", test.domain)
            choice = folder_of(prepared.folder / "selection", test.domain)  # has its gradient
            limits = (prepared.selection, prepared.plan)
            table = positive_controls(choosing, test.asked, vectors, place, *limits, choice=choice)
            tables.append(table.assign(domain=test.domain))
    found = pd.concat(tables[1:] or tables, ignore_index=True)
    return found[["domain", *POSITIVE_COLUMNS]]


def _write(
    prepared: Prepared,
    vectors: RoleVectors,
    chosen: _Chosen,
    effects: pd.DataFrame,
    unjudged: Mapping[str, str],
) -> pd.DataFrame:
    """Write tables and options, and give the table of roles and domains."""
    folder = prepared.folder
    made = pd.DataFrame(
        [choice.row() for choice in chosen.choices.values()], columns=CHOICE_COLUMNS
    )
    made["persona"] = made["role"].map(chosen.personas).astype("Int64")
    layers = {role: choice.spec.layer for role, choice in chosen.unguarded.items()}
    made["unguarded_layer"] = made["role"].map(layers).astype("Int64")
    what = made.set_index("role")[["contrast", "layer", "position", "coefficient", "schedule"]]
    table = summary(effects, prepared.homes, unjudged).join(
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
            f"bands are smaller: {found}; raise max_kl to fill them: with fewer than "
            f"{MIN_CONTROLS} there is no verdict"
        )


def _takes_system(asker: Asker) -> bool:
    """Whether the chat template takes a system message, and so a persona prompt."""
    try:
        chat_text(asker.model, "Hello?", NEUTRAL_PERSONA)
    except RoleLensError as error:
        warn(f"no persona prompts are asked: {error}")
        return False
    return True
