"""Finds directions in answers that the model wrote, in a role and plain, to the same questions.

    answers = write_answers(model, ["economist", "nurse"], "answers")    # see `role_lens.writing`
    RoleVectors.fit(model, roles, base, finder=FINDERS["answers"]("answers"))

- Contrast `answers`: mean residual stream over the tokens of the answers in the role, minus that
  over the tokens of the plain answers (persona vectors, Chen et al. 2025, arXiv 2507.21509; the
  assistant axis, Lu et al. 2026, arXiv 2601.10387).

Role prompts differ from base prompts in their matter, so a difference of their means holds a topic.
Here the questions are the same, and only who answers differs. An answer is read as it was written:
after the system message that names the role. It takes a pass over all answers, beside the time in
which they were written. A mean over tokens has no position; the direction stands at the last one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.activations import tail_means
from role_lens._run.tokens import check_length, encode_chat
from role_lens.errors import RoleLensError, warn
from role_lens.finders._finder import Directions, Finder, FitData
from role_lens.models import Model
from role_lens.written_answers import FEWEST, WrittenAnswer, read_answers


@dataclass(frozen=True)
class Answers(Finder):
    """Mean activations over answers in the role minus those over plain ones: contrast `answers`.

    Raises:
        RoleLensError: no file of answers is named.

    Examples:
        >>> from role_lens.finders import FINDERS
        >>> FINDERS["answers"]("economist-answers").answers
        'economist-answers'
    """

    from_prompts: ClassVar[bool] = False
    answers: str | Path = ""
    """What `role_lens.writing.write_answers` wrote: its folder, or a JSONL file of such rows."""

    def __post_init__(self) -> None:
        if not str(self.answers):
            raise RoleLensError(
                "finder 'answers' reads answers that the model wrote: write them with `role-lens "
                "answers`, and name their folder"
            )
        object.__setattr__(self, "answers", str(self.answers))

    def find(self, data: FitData) -> Directions:
        """Find a direction for every role and layer, at the last position.

        Raises:
            RoleLensError: fewer than 4 plain answers, or of every role.

        Warns:
            UserWarning: fewer than 4 answers of some roles, which get no direction.
        """
        by_role: dict[str | None, list[WrittenAnswer]] = {role: [] for role in (None, *data.roles)}
        for one in read_answers(self.answers):
            if one.kept and one.role in by_role:
                by_role[one.role].append(one)
        few = [role for role in data.roles if len(by_role[role]) < FEWEST]
        if len(by_role[None]) < FEWEST or len(few) == len(data.roles):
            most = max(len(by_role[role]) for role in data.roles)
            raise RoleLensError(
                f"{self.answers} holds {len(by_role[None])} plain answers, and at most {most} that "
                f"are kept of a role, and at least {FEWEST} of both are needed: ask more questions "
                "(--ask), or keep more (--within)"
            )
        if few:
            warn(
                f"{self.answers} holds fewer than {FEWEST} answers that are kept of "
                f"{', '.join(few)}: no direction is found for them"
            )
        plain = _mean(data, by_role[None])
        found = torch.full_like(data.role_means, torch.nan)
        last = data.positions.index(max(data.positions))
        for number, role in enumerate(data.roles):
            if role in few:
                continue
            found[number, last] = _mean(data, by_role[role]) - plain
        return {"answers": found}


def _mean(data: FitData, answers: Sequence[WrittenAnswer]) -> Float[Tensor, "layer d_model"]:
    """Mean over answers of the mean over each answer's tokens."""
    sequences, lengths = _tokens(data.model, answers)
    means = tail_means(data.model, sequences, lengths, data.compute.max_tokens)
    return means.double().mean(dim=0).float()


def _tokens(model: Model, answers: Sequence[WrittenAnswer]) -> tuple[list[list[int]], list[int]]:
    """Token ids of questions and answers, and how many of them are each answer's."""
    sequences: list[list[int]] = [[] for _ in answers]
    lengths = [0] * len(answers)
    for system in dict.fromkeys(one.system for one in answers):
        own = [i for i, one in enumerate(answers) if one.system == system]
        asked = encode_chat(model, [answers[i].question for i in own], system)
        for i, ids in zip(own, asked, strict=True):
            answer = model.tokenizer.encode(answers[i].answer, add_special_tokens=False)
            check_length(model, len(ids), answers[i].question, following=len(answer))
            sequences[i], lengths[i] = [*ids, *answer], len(answer)
    return sequences, lengths


FINDER = Answers
