"""Reads the scores of all conditions from a comparison's run folder, to judge them anew.

    judge(read_scores("economist-verdict"), bound=0.05)

The model isn't needed for it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from role_lens.errors import RoleLensError
from role_lens.experiments.cells import finished_cells
from role_lens.experiments.condition_kinds import ConditionKind
from role_lens.experiments.judging.effects import DomainScores
from role_lens.files import as_path

_LABELS = ["kind", "role", "detail"]


def read_scores(folder: str | Path) -> list[DomainScores]:
    """Read the scores of all conditions of a comparison.

    `judge` takes them, with another bound or other permutations than the comparison had. A domain
    in which there was nothing to judge has the unchanged model's scores alone.

    Args:
        folder: run folder of `compare`; of one that was stopped, what is finished.

    Returns:
        One item per domain, for the roles whose own it is and for all others.

    Raises:
        RoleLensError: the folder holds no comparison, or nothing of it is finished.

    Examples:
        >>> from role_lens.experiments import judge, read_scores
        >>> exam = Exam(many_questions, domains={"poet": "verse"})
        >>> selection = Selection(Grid(roles=("poet",), layers=(1,)), max_kl=None)
        >>> plan = TestPlan(n_shuffled=0, max_off_domain=0, judge_all=True)
        >>> quiet = Compute(progress=False)
        >>> _ = compare(model, vectors, exam, folder / "run", selection, plan, quiet)
        >>> table = judge(read_scores(folder / "run"), bound=0.05, judge_all=True)
        >>> sorted(set(table["domain"]))
        ['verse']
    """
    top, found = as_path(folder), []
    for name, in_domain in (("in_domain", True), ("off_domain", False)):
        for place in sorted((top / name).glob("*/")):
            scores = _read(place, in_domain)
            hidden = top / "blind" / place.name
            if scores is not None:
                blind = _read(hidden, in_domain) if in_domain and hidden.is_dir() else None
                found.append(replace(scores, blind=blind))
    if not found:
        raise RoleLensError(f"{folder} holds no scores of a comparison: run `compare` first")
    return found


def _read(place: Path, in_domain: bool) -> DomainScores | None:
    """The finished conditions of one domain, the baseline first; None if it isn't finished."""
    cells = finished_cells(place)
    tables = [part for table in cells.tables(set_aside=False) for _, part in table.groupby("cell")]
    tables.sort(key=lambda part: part["kind"].iloc[0] != ConditionKind.BASELINE.value)
    if not tables or tables[0]["kind"].iloc[0] != ConditionKind.BASELINE.value:
        return None
    return DomainScores(
        domain=str(cells.questions["domain"].iloc[0]),
        in_domain=in_domain,
        conditions=pd.concat([part[_LABELS].iloc[:1] for part in tables], ignore_index=True),
        margin=np.stack([part["margin"].to_numpy() for part in tables]),
        logprob=np.stack([part["logprob_correct"].to_numpy() for part in tables]),
        correct=np.stack([part["correct"].to_numpy(dtype=bool) for part in tables]),
    )
