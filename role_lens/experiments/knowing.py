"""Says, before the long part of a run, of which domains the unchanged model knows nothing.

    unjudged = domains_without_knowledge(baselines, TestPlan())    # warns of them

There nothing can be said of what a direction does.
"""

from collections.abc import Iterable

from role_lens.errors import warn
from role_lens.experiments.judging.effects import DomainScores
from role_lens.experiments.judging.judgement import knowledge
from role_lens.experiments.judging.verdicts import LEVEL
from role_lens.experiments.options import TestPlan


def domains_without_knowledge(scores: Iterable[DomainScores], plan: TestPlan) -> set[str]:
    """Domains that are not to be judged, since the unchanged model's answers carry no knowledge.

    Args:
        scores: of the unchanged model, of each domain.
        plan: its permutations and seed; if it judges all, the set is empty.

    Warns:
        UserWarning: there are such domains.
    """
    said = {}
    for one in scores:
        mean, p = knowledge(one, permutations=plan.permutations, seed=plan.seed)
        if p > LEVEL:
            said[one.domain] = f"{one.domain} (mean margin {mean:.2g}, p {p:.2g})"
    if said:
        judged = "they are judged nevertheless" if plan.judge_all else "nothing to judge"
        warn(
            f"the unchanged model's answers carry no knowledge of {', '.join(said.values())}: "
            f"{judged}; ask other questions, or in another way (scoring)"
        )
    return set() if plan.judge_all else set(said)
