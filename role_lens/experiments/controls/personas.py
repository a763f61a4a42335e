"""Chooses a phrasing of the persona prompt for each role, as directions are chosen.

    choose_personas(asked, ["economist"], "personas/econ")    # {"economist": 2}

The best of several hundred directions is otherwise set against a single phrasing.
"""

from collections.abc import Sequence
from pathlib import Path

from role_lens.experiments.condition_kinds import ConditionKind
from role_lens.experiments.condition_scores import score_conditions
from role_lens.experiments.conditions import Condition
from role_lens.prompts import persona_prompts
from role_lens.scoring.asked import AskedQuestions


def choose_personas(asked: AskedQuestions, roles: Sequence[str], out: str | Path) -> dict[str, int]:
    """Choose for each role the phrasing of `persona_prompts` with the largest mean margin.

    Args:
        asked: the questions that choose.
        roles: the roles, all of one domain.
        out: run folder, which keeps the scores.

    Returns:
        Role -> the number of the phrasing.

    Raises:
        RoleLensError: as `score_conditions`.

    Examples:
        >>> from role_lens.experiments import choose_personas
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(questions)
        >>> sorted(choose_personas(asked, ["poet", "cook"], folder / "run"))
        ['cook', 'poet']
    """
    conditions = [
        Condition(ConditionKind.PHRASING, role, str(number), system=text)
        for role in roles
        for number, text in enumerate(persona_prompts(role))
    ]
    scores = score_conditions(asked, conditions, out, domain="", in_domain=True)
    means = scores.conditions.assign(margin=scores.margin.mean(axis=1))
    best = means.loc[means.groupby("role", sort=False)["margin"].idxmax()]
    return {
        str(role): int(number) for role, number in zip(best["role"], best["detail"], strict=True)
    }
