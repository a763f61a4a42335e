"""Judges a patch as it is: does it do more than the same patch turned at random?

    judge_patch(model, Patch.load("nurse.safetensors"), Exam(load_questions("builtin")), "verdict")

Nothing is chosen here, so the questions must have had no part in making the patch. `compare`
chooses role vectors, and judges them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import einops
import pandas as pd

from role_lens._run.exclusive import with_usual_defaults
from role_lens.chat import template_identity
from role_lens.checks import check_is
from role_lens.compute import Compute
from role_lens.errors import RoleLensError
from role_lens.experiments.condition_kinds import ConditionKind
from role_lens.experiments.condition_scores import open_conditions, score_conditions
from role_lens.experiments.conditions import Condition, baseline
from role_lens.experiments.controls.control_directions import random_rotation, seed_of_rotation
from role_lens.experiments.judging.effects import DomainScores
from role_lens.experiments.judging.judgement import judge
from role_lens.experiments.judging.verdicts import NOTHING_TO_JUDGE
from role_lens.experiments.knowing import domains_without_knowledge
from role_lens.experiments.options import Exam, TestPlan
from role_lens.experiments.selection import folder_of
from role_lens.experiments.settings import settings_of
from role_lens.experiments.store import claimed
from role_lens.files import as_path, write_table
from role_lens.models import Model
from role_lens.patches.patch import Combined, Patches, combined
from role_lens.questions.splits import check_numbers, divide, sample_each
from role_lens.scoring.asked import AskedQuestions, Asker
from role_lens.scoring.identity import hash_of_patches
from role_lens.values import errors_of

_COLUMNS = (
    *("domain", "n", "baseline", "baseline_accuracy", "knowledge", "p_knows", "effect", "low"),
    *("high", "accuracy_change", "logprob_change", "p_helps_adjusted", "p_hurts_adjusted"),
    *("n_random", "excess", "excess_low", "excess_high", "p_more", "p_less", "p_question_more"),
    *("p_question_less", "detectable_excess", "blind_effect", "beyond_blind_low"),
    *("beyond_blind_high", "verdict"),
)
"""Columns of the result."""
_ROLE = "the patch"  # a condition is some role's
_USED = ("n_random", "max_questions", "judge_all", "bound", "permutations", "seed")
"""Of a plan; the rest is of controls that a patch hasn't."""
_ASKED = ("max_questions", "seed")
"""Of these, what changes which questions are asked, or of which random patches."""


@with_usual_defaults
def judge_patch(
    model: Model,
    patches: Patches,
    exam: Exam,
    out: str | Path,
    plan: TestPlan = TestPlan(),
    compute: Compute = Compute(),
) -> pd.DataFrame:
    """Test a patch of any kind against the same patch with its directions turned at random.

    The questions of each domain are asked plain, with the patch, with the patch but without the
    text of the questions, and with each of the random patches: one random rotation turns all
    directions of the patch, so that lengths, and angles between several, stay. So random additions
    change the stream as much as the patch does. Random ablations, clamps and caps do to another
    direction what the patch does to its own (a clamp or cap keeps its value), which may be a larger
    or smaller change: what is found then is about direction and size together.

    Args:
        patches: one or more that act together.
        exam: questions that had no part in making the patch, of any number of domains. All of them
            test, so there is no validation.
        out: run folder: a new one, or one of the same test, which goes on where it was stopped.
        plan: `n_random` (random patches), `max_questions`, `bound`, `judge_all`, `permutations` and
            `seed`; the rest is of controls that a patch hasn't, and is left as it is.
        compute: batches and progress.

    Returns:
        One row a domain, with columns as in `judge`: `effect` against the unchanged model, `excess`
        over random patches with its interval, and `verdict`. p values are adjusted for all domains.
        `out` holds it as `patch.parquet`, and the effects of all conditions as `effects.parquet`.

    Raises:
        RoleLensError: no patch, one of another model, validation questions, domains of roles, plans
            for other controls, fewer than 20 questions of a domain, or a folder of something else.

    Warns:
        UserWarning: the unchanged model knows nothing of a domain, or questions repeat.

    Examples:
        >>> from role_lens.experiments import judge_patch
        >>> exam, plan = Exam(many_questions), TestPlan(judge_all=True)
        >>> quiet = Compute(progress=False)
        >>> ablation = vectors.ablate("poet", layer=1)
        >>> table = judge_patch(model, ablation, exam, folder / "run", plan, quiet)
        >>> table[["domain", "n", "n_random"]].values.tolist()
        [['food', 40, 20.0], ['verse', 40, 20.0]]
    """
    several = _checked(model, patches, exam, plan)
    testing = sample_each(divide(exam.questions, (), {}, plan.seed)[1], plan.max_questions)
    check_numbers({}, [(domain, True, some) for domain, some in testing.items()])
    asker, folder = Asker(model, exam.asking, compute), as_path(out)
    asked = {domain: asker.ask(some) for domain, some in testing.items()}
    for domain, some in asked.items():
        with errors_of(f"questions of {domain}"):
            _ = some.margin_design  # refuses questions that can't tell knowledge
        some.check_masks(several)
    planned = settings_of(plan)
    identity: dict[str, Any] = {
        "run": "a patch judged",
        **asker.model_identity,
        **template_identity(model),
        "patches": hash_of_patches(several),
        "questions": {domain: some.identity["questions"] for domain, some in asked.items()},
        **settings_of(exam.asking, leave_out=("examples",)),
        **{name: planned[name] for name in _ASKED},
    }
    with claimed(folder, identity):
        effects = judge(
            _scores(asked, several, plan, folder),
            bound=plan.bound,
            judge_all=plan.judge_all,
            permutations=plan.permutations,
            seed=plan.seed,
        )
        table = effects[effects["kind"] == ConditionKind.PATCH.value].reset_index(drop=True)
        table = table[list(_COLUMNS)].fillna({"verdict": NOTHING_TO_JUDGE})
        write_table(folder / "effects.parquet", effects)
        write_table(folder / "patch.parquet", table)
    return table


def _checked(model: Model, patches: Patches, exam: Exam, plan: TestPlan) -> Combined:
    """The patches, if they and what is asked for go together."""
    several = combined(patches)
    check_is(exam, Exam, "exam")
    check_is(plan, TestPlan, "plan")
    if not several:
        raise RoleLensError("expected a patch to judge, got None: that is the unchanged model")
    if exam.validation is not None or exam.domains:
        what = "validation questions" if exam.validation is not None else "domains of roles"
        raise RoleLensError(f"nothing is chosen of a patch: leave out the {what}")
    usual, planned = settings_of(TestPlan()), settings_of(plan)
    if idle := [name for name in planned if name not in _USED and planned[name] != usual[name]]:
        raise RoleLensError(f"a patch has no such controls: leave out {', '.join(idle)}")
    for patch in several:
        patch.check(model)
        if patch.gate is not None:
            raise RoleLensError(
                "the patch is behind a gate, which would open for some questions only: judge "
                "patch.behind(None), on questions at which the gate is to open"
            )
    return several


def _scores(
    asked: Mapping[str, AskedQuestions], patches: Combined, plan: TestPlan, folder: Path
) -> list[DomainScores]:
    """What every condition scores; where the model knows nothing, only plain and patched."""
    conditions = [
        baseline(),
        Condition(ConditionKind.PATCH, _ROLE, patches=patches),
        *_random(patches, plan),
    ]
    places = {domain: folder_of(folder / "in_domain", domain) for domain in asked}
    for domain, some in asked.items():  # may refuse, before the long part
        open_conditions(some, places[domain])
    unjudged = domains_without_knowledge(
        (_score(some, conditions[:1], places, domain) for domain, some in asked.items()), plan
    )
    scores = []
    for domain, some in asked.items():
        if domain in unjudged:
            scores.append(_score(some, conditions[:2], places, domain))
            continue
        hidden = {domain: folder_of(folder / "blind", domain)}
        blind = _score(some.blind(), conditions[:2], hidden, domain)
        scores.append(replace(_score(some, conditions, places, domain), blind=blind))
    return scores


def _score(
    asked: AskedQuestions, conditions: Sequence[Condition], places: Mapping[str, Path], domain: str
) -> DomainScores:
    return score_conditions(asked, conditions, places[domain], domain=domain, in_domain=True)


def _random(patches: Combined, plan: TestPlan) -> Iterator[Condition]:
    """The patch, turned by one random rotation after another."""
    for number in range(plan.n_random):
        seed = seed_of_rotation(plan.seed, number)
        rotation = random_rotation(len(patches[0].direction), seed=seed)
        turned = tuple(
            replace(
                patch,
                direction=einops.einsum(patch.direction, rotation, "d_in, d_out d_in -> d_out"),
            )
            for patch in patches
        )
        yield Condition(ConditionKind.RANDOM, _ROLE, detail=str(number), patches=turned)
