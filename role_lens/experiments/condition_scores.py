"""Score questions under conditions, in a folder that a stopped run goes on with.

Knows conditions, not what they are compared for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from role_lens._run.budget import Budget, token_budget
from role_lens.experiments.conditions import Condition
from role_lens.experiments.identity import hash_of_patches, run_identity
from role_lens.experiments.judgement import Scores
from role_lens.experiments.store import CellFolder, cell_key, continue_cells
from role_lens.experiments.unfinished import score_unfinished
from role_lens.models import Model
from role_lens.patches.patch import form
from role_lens.questions.question import Question, Template
from role_lens.scoring.engine import Scorer, engine
from role_lens.scoring.evaluate import describe, score_columns
from role_lens.scoring.items import Item, Scoring, tokenize_questions
from role_lens.scoring.replay import first_layer


def score_conditions(
    model: Model,
    questions: Sequence[Question],
    conditions: Sequence[Condition],
    out: str | Path,
    *,
    domain: str,
    in_domain: bool,
    scoring: Scoring = "letter",
    template: Template = "paper",
    system: str | None = None,
    examples: Sequence[Question] = (),
    max_tokens: int | None = None,
    progress: bool = True,
) -> Scores:
    """Scores of every question under every condition; finished ones are read from the folder.

    Args:
        domain, in_domain: passed on to the result.
        scoring, template, system, examples, max_tokens, progress: as for `evaluate`.
    """
    asking: dict[str, Any] = {"scoring": scoring, "template": template, "system": system}
    asking["examples"] = examples
    folder, identity = open_conditions(model, questions, out, **asking)
    keys = {condition: cell_key(identity, _content(condition)) for condition in conditions}
    asked = _Asked(model, questions, asking, max_tokens)
    items = asked.items(None)
    score_unfinished(
        folder,
        asked,
        keys,
        n_layers=model.cfg.n_layers,
        shape=lambda one: (first_layer(one.patches), (one.system, form(one.patches))),
        make=lambda one: one,
        table=lambda one, scores: _labels([one] * len(questions)).assign(
            **score_columns(scores, items, questions, scoring)
        ),
        progress=progress,
    )
    logprob, correct = _read(folder, list(keys.values()))
    return Scores(domain, in_domain, _labels(conditions), logprob, correct)


def open_conditions(
    model: Model, questions: Sequence[Question], out: str | Path, **asking: Any
) -> tuple[CellFolder, dict[str, Any]]:
    """The folder for these questions, and what all its cells have in common.

    Args:
        asking: as for `score_conditions`.

    Raises:
        RoleLensError: it holds the results of something else, which is better known early.
    """
    identity = run_identity(model, questions, **asking)
    return continue_cells(out, identity, describe(questions)), identity


class _Asked:
    """Scorers of the same questions under several system messages."""

    def __init__(
        self,
        model: Model,
        questions: Sequence[Question],
        asking: dict[str, Any],
        max_tokens: int | None,
    ) -> None:
        self._model = model
        self._questions = questions
        self._asking = asking
        self._budget: Budget = token_budget(model, max_tokens)
        self._usual: Scorer | None = None

    def items(self, system: str | None) -> list[Item]:
        asking = self._asking if system is None else {**self._asking, "system": system}
        return tokenize_questions(self._model, self._questions, **asking)

    def chunk_size(self, layer: int) -> int:
        return self._scorer(None).chunk_size(layer)

    def logprobs(self, conditions: Sequence[Condition]) -> Float[Tensor, "condition item choice"]:
        scorer = self._scorer(conditions[0].system)  # the same for all of a batch
        return scorer.logprobs([condition.patches for condition in conditions])

    def _scorer(self, system: str | None) -> Scorer:
        # Only that of the usual message is kept: each holds the residual stream of all questions.
        if system is not None:
            return engine(self._model, self.items(system), self._budget)
        if self._usual is None:
            self._usual = engine(self._model, self.items(None), self._budget)
        return self._usual


def _content(condition: Condition) -> dict[str, Any]:
    return {
        "kind": condition.kind,
        "role": condition.role,
        "detail": condition.detail,
        "system": condition.system,
        "patches": hash_of_patches(condition.patches),
    }


def _labels(conditions: Sequence[Condition]) -> pd.DataFrame:
    rows = [(one.kind, one.role, one.detail) for one in conditions]
    return pd.DataFrame(rows, columns=["kind", "role", "detail"]).astype("string")


def _read(folder: CellFolder, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """log p(correct) and whether the answer was correct, a row per key."""
    logprob = np.full((len(keys), len(folder.questions)), np.nan)
    correct = np.zeros(logprob.shape, dtype=bool)
    row = {key: i for i, key in enumerate(keys)}
    for table in folder.tables():
        for key, part in table[table["cell"].isin(row)].groupby("cell"):
            logprob[row[str(key)]] = part["logprob_correct"]
            correct[row[str(key)]] = part["correct"]
    return logprob, correct
