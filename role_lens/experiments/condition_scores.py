"""Scores questions under the conditions of a comparison, and keeps the scores in a run folder.

    score_conditions(asked, [baseline(), *others], "in_domain/econ", domain="econ", in_domain=True)

A run that was stopped goes on where it was.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from role_lens.experiments.cells import Cell, Cells, label_frame
from role_lens.experiments.conditions import Condition
from role_lens.experiments.judging.effects import DomainScores
from role_lens.experiments.store import Store, open_store
from role_lens.patches.patch import first_layer, form
from role_lens.scoring.asked import AskedQuestions
from role_lens.scoring.identity import hash_of_patches

_TYPES = dict.fromkeys(("kind", "role", "detail"), "string")


def score_conditions(
    asked: AskedQuestions,
    conditions: Sequence[Condition],
    out: str | Path,
    *,
    domain: str,
    in_domain: bool,
) -> DomainScores:
    """Score every question under every condition; finished ones are read from the run folder.

    Args:
        asked: the questions, tokenised by `Asker.ask`.
        conditions: what is done to the model, the baseline among them.
        out: run folder.
        domain: domain of the questions; the result says it.
        in_domain: whether it is the own domain of the conditions' roles; the result says it.

    Raises:
        RoleLensError: the folder holds the results of another run, or the model carries hooks.

    Examples:
        >>> from role_lens.experiments import baseline, score_conditions
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(questions)
        >>> found = score_conditions(asked, [baseline()], folder / "d", domain="d", in_domain=True)
        >>> found.margin.shape    # condition, question
        (1, 4)
    """
    finished = Cells(open_conditions(asked, out), asked, "conditions")
    cells = [_cell(condition) for condition in conditions]
    finished.score(cells, _TYPES)
    tables = finished.by_key([cell.key for cell in cells])
    return DomainScores(
        domain,
        in_domain,
        label_frame([condition.labels for condition in conditions], _TYPES),
        np.stack([tables[cell.key]["margin"].to_numpy() for cell in cells]),
        np.stack([tables[cell.key]["logprob_correct"].to_numpy() for cell in cells]),
        np.stack([tables[cell.key]["correct"].to_numpy(dtype=bool) for cell in cells]),
    )


def open_conditions(asked: AskedQuestions, out: str | Path) -> Store:
    """Open the run folder of these questions, to find out early whether it can be used.

    Raises:
        RoleLensError: the folder holds the results of another run, or the model carries hooks.

    Examples:
        >>> from role_lens.experiments import open_conditions
        >>> from role_lens.scoring import Asker
        >>> open_conditions(Asker(model).ask(questions), folder / "run").path == folder / "run"
        True
    """
    return open_store(out, {"run": "conditions", **asked.identity})


def _cell(condition: Condition) -> Cell:
    hashed = {"system": condition.system, "patches": hash_of_patches(condition.patches)}
    return Cell(
        labels=condition.labels,
        content={**condition.labels, **hashed},
        first_layer=first_layer(condition.patches),
        form=form(condition.patches),
        patches=lambda: condition.patches,
        system=condition.system,
    )
