"""Tries what must be found if a comparison can find anything: effects on knowledge that are there.

    positive_controls(choosing, testing, vectors, "controls", Selection(), TestPlan())

Where none of them is found, a verdict of "no more than random" says nothing of role vectors.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray

from role_lens._run.activations import activations_at
from role_lens.errors import TooLongError
from role_lens.experiments.candidates import candidates_of
from role_lens.experiments.condition_kinds import ConditionKind
from role_lens.experiments.condition_scores import score_conditions
from role_lens.experiments.conditions import Condition, baseline
from role_lens.experiments.judging.verdicts import LEVEL
from role_lens.experiments.options import Grid, Selection, TestPlan
from role_lens.experiments.screening import by_estimate, kept_gradient
from role_lens.experiments.sweeps import open_sweep
from role_lens.patches.patch import Patch
from role_lens.questions.question import Question
from role_lens.scoring.asked import AskedQuestions
from role_lens.statistics.paired import bootstrap_interval, sign_flip_test, smallest_detectable
from role_lens.vectors import RoleVectors

POSITIVE_COLUMNS = ["control", "n", "effect", "low", "high", "p", "detectable", "found"]
"""Columns of the table of `positive_controls`."""
PLANTED, NOISE = 0.3, 0.25
"""The effect that is planted, in margins (on four options near chance eight points of accuracy),
and the noise on each question."""
COEFFICIENTS = (1.0, 2.0, 4.0)
"""How many times the direction of right answers is added."""
_SCREENED = 3  # directions of right answers, at all coefficients
_EXAMPLES = 3  # at most, of each subject
_RIGHT = "right answers"


def positive_controls(
    choosing: AskedQuestions,
    testing: AskedQuestions,
    vectors: RoleVectors,
    out: str | Path,
    selection: Selection,
    plan: TestPlan,
    *,
    choice: str | Path | None = None,
) -> pd.DataFrame:
    """Try controls that change what the model knows, and test each against the unchanged model.

    The test is that of a role's addition against the unchanged model, of each control alone.

    - `planted`: the unchanged model's margins, raised by 0.3, with noise of 0.25, which any test
      that works finds;
    - `examples`: answered questions of the same subject before each one, which help most models
      that are above chance;
    - `right answers`: a direction from the mean of wrong to that of right answers, read at their
      last token, its layer and coefficient chosen on the choosing questions (the idea of MERA,
      arXiv 2510.13290, and CORAL, arXiv 2602.06022).

    Args:
        choosing, testing: the questions that choose and those that test, of one domain.
        vectors: those of the comparison; only the model that they are of counts.
        out: run folder.
        selection: its layers; there is no limit of the KL divergence, since a control may be as
            strong as it likes.
        plan: permutations and seed.
        choice: run folder of `select` on the same questions, whose gradient is used; None for one
            inside of `out`.

    Returns:
        One row per control: `control, n` (questions), `effect` (mean change of the margin), `low,
        high` (90 % interval), `p` (one-sided), `detectable` and `found`. Examples are left out
        where the questions come with some already, no question chooses of a subject, or the
        model's context is too short for one.

    Examples:
        >>> from role_lens.experiments import positive_controls
        >>> from role_lens.scoring import Asker
        >>> asker = Asker(model, compute=Compute(progress=False))
        >>> asked = asker.ask(many_questions[:20]), asker.ask(many_questions[20:40])
        >>> selection, plan = Selection(max_kl=None), TestPlan(permutations=100)
        >>> table = positive_controls(*asked, vectors, folder / "run", selection, plan)
        >>> table["control"].tolist()
        ['planted', 'examples', 'right answers']
    """
    place = Path(out)
    own = _margin(testing, baseline(), place / "testing")
    rows = [_row("planted", own, _planted(own, plan.seed), plan)]
    shown = _with_examples(choosing, testing)
    if shown is not None:
        rows.append(_row("examples", own, _margin(shown, baseline(), place / "examples"), plan))
    where = place / "choosing", selection, Path(choice or place / "choice")
    patch = _right_answers(choosing, vectors, *where)
    addition = Condition(ConditionKind.ADD, _RIGHT, patches=(patch,))
    rows.append(_row(_RIGHT, own, _margin(testing, addition, place / "testing"), plan))
    return pd.DataFrame(rows)


def _margin(asked: AskedQuestions, condition: Condition, out: Path) -> Float[ndarray, " question"]:
    return score_conditions(asked, [condition], out, domain="", in_domain=True).margin[0]


def _planted(own: Float[ndarray, " question"], seed: int) -> Float[ndarray, " question"]:
    return own + np.random.default_rng(seed).normal(PLANTED, NOISE, len(own))


def _with_examples(choosing: AskedQuestions, testing: AskedQuestions) -> AskedQuestions | None:
    """The test questions after as many examples of their subjects as the context takes; None for
    none."""
    by_subject: dict[str, list[Question]] = {one.subject: [] for one in testing.questions}
    for one in choosing.questions:
        if one.subject in by_subject:
            by_subject[one.subject].append(one)
    if testing.asking.examples or not all(by_subject.values()):
        return None
    for number in range(_EXAMPLES, 0, -1):
        with suppress(TooLongError):
            return testing.with_examples(
                one for some in by_subject.values() for one in some[:number]
            )
    return None


def _right_answers(
    choosing: AskedQuestions,
    vectors: RoleVectors,
    out: Path,
    selection: Selection,
    choice: Path,
) -> Patch:
    """The addition of the direction of right answers that does most on the choosing questions."""
    right: list[list[int]] = []
    wrong: list[list[int]] = []
    for question, item in zip(choosing.questions, choosing.items, strict=True):
        for option, tokens in enumerate(item.continuations):
            group = right if option == question.answer else wrong
            group.append([*item.prompt, *tokens])
    layers = range(vectors.n_layers)
    places = [(layer, -1) for layer in layers]
    means = [
        activations_at(choosing.model, group, places).mean(dim=1)[None, None]
        for group in (right, wrong)
    ]
    found = replace(
        vectors,
        roles=(_RIGHT,),
        positions=(-1,),
        role_means=means[0],
        base_mean=means[1][0],
        role_counts=torch.tensor([len(right)]),
        base_count=len(wrong),
        found={},
        separation={},
        prompts=None,
    )
    tried_layers = selection.within(vectors.n_layers).grid.layers
    grid = Grid((_RIGHT,), tried_layers, coefficients=COEFFICIENTS)
    gradient = kept_gradient(open_sweep(choosing, vectors, choice), choosing)
    best = by_estimate(found, candidates_of(found, grid), gradient, _SCREENED)[_RIGHT]
    conditions = [
        Condition(ConditionKind.ADD, _RIGHT, str(number), (candidate.patch(found),))
        for number, candidate in enumerate(best)
    ]
    tried = score_conditions(choosing, conditions, out, domain="", in_domain=True)
    means = np.nan_to_num(tried.margin.mean(axis=1), nan=-np.inf)  # one without a margin is last
    return best[int(means.argmax())].patch(found)


def _row(
    control: str,
    own: Float[ndarray, " question"],
    under: Float[ndarray, " question"],
    plan: TestPlan,
) -> dict[str, Any]:
    change = under - own
    test = sign_flip_test(
        change[None], alternative="greater", permutations=plan.permutations, seed=plan.seed
    )
    low, high = bootstrap_interval(change, seed=plan.seed)
    return {
        "control": control,
        "n": len(change),
        "effect": change.mean(),
        "low": low,
        "high": high,
        "p": float(test.p[0]),
        "detectable": smallest_detectable(change, critical=test.critical),
        "found": bool(test.p[0] <= LEVEL),
    }
