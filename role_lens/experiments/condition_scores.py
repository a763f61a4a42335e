"""Scores questions under conditions, in a folder that a stopped run goes on with.

score_conditions(asked, [baseline(), *others], "in_domain/econ", domain="econ", in_domain=True)
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from role_lens.experiments.cells import Cell, Cells, label_frame
from role_lens.experiments.conditions import Condition
from role_lens.experiments.judgement import DomainScores
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
    """Scores of every question under every condition; finished ones are read from the folder.

    Args:
        domain, in_domain: passed on to the result.

    Raises:
        RoleLensError: the folder holds the results of something else, the model carries hooks.

    Example:
        >>> asked = Asker(model).ask(questions)
        >>> found = score_conditions(asked, [baseline()], folder / "s", domain="d", in_domain=True)
        >>> found.logprob.shape == (1, len(questions))
        True
    """
    finished = Cells(open_conditions(asked, out), asked)
    cells = [_cell(condition) for condition in conditions]
    finished.score(cells, _TYPES)
    tables = finished.by_key([cell.key for cell in cells])
    return DomainScores(
        domain,
        in_domain,
        label_frame([condition.labels for condition in conditions], _TYPES),
        np.stack([tables[cell.key]["logprob_correct"].to_numpy() for cell in cells]),
        np.stack([tables[cell.key]["correct"].to_numpy(dtype=bool) for cell in cells]),
    )


def open_conditions(asked: AskedQuestions, out: str | Path) -> Store:
    """The store for these questions.

    Raises:
        RoleLensError: it holds the results of something else, which is better known early.
    """
    return open_store(out, asked.identity)


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
