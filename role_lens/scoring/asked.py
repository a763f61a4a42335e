"""Prepares questions for a model: tokenises each once, however often it is asked.

    asker = Asker(model, Asking(scoring="cloze"))
    asked = asker.ask(load_questions("builtin", domain="econ"))
    asked.scorer().logprobs([(patch,)])

Sweeps and comparisons take questions in this form.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from role_lens._run.budget import Budget, token_budget
from role_lens.chat import template_identity
from role_lens.checks import check_is
from role_lens.compute import Compute
from role_lens.errors import RoleLensError, warn
from role_lens.models import Model, check_model
from role_lens.patches.patch import Combined
from role_lens.patches.token_masks import changes_first_answer
from role_lens.questions.question import Question, question_list
from role_lens.scoring.asking import Asking, check_likelihood
from role_lens.scoring.engine import engine
from role_lens.scoring.gated import GatedScorer
from role_lens.scoring.identity import content_hash, model_identity
from role_lens.scoring.items import Item, tokenize_question
from role_lens.scoring.margin import MarginDesign
from role_lens.scoring.method import METHODS

BLIND = "Which of these is right?"
"""What a question says if its text is left out."""


class Asker:
    """Asks one model questions, all in the same way.

    Each question is tokenised once, and the model's weights are hashed once. Changes of the weights
    afterwards go unnoticed, so make an asker for each run.

    Args:
        model: the model that is asked.
        asking: scoring, layout, system message and examples; None for the defaults.
        compute: batches and progress; None for the defaults.

    Examples:
        >>> from role_lens.scoring import Asker
        >>> asker = Asker(model, Asking(scoring="cloze"))
        >>> len(asker.ask(questions).items) == len(questions)
        True
    """

    def __init__(
        self, model: Model, asking: Asking | None = None, compute: Compute | None = None
    ) -> None:
        check_model(model)
        self.model = model
        self.asking = Asking() if asking is None else asking
        self.compute = Compute() if compute is None else compute
        check_is(self.asking, Asking, "asking")
        check_is(self.compute, Compute, "compute")
        check_likelihood(self.asking)
        self._items: dict[Question, Item] = {}
        self._other_systems: dict[str, Asker] = {}

    @cached_property
    def model_identity(self) -> dict[str, Any]:
        """What tells the model from others, as JSON values. Its weights are read on first use."""
        return model_identity(self.model)

    @property
    def budget(self) -> Budget:
        """How many tokens a batch may hold; a new budget each time, since lack of memory lowers
        it."""
        return token_budget(self.model, self.compute.max_tokens)

    def ask(self, questions: Iterable[Question]) -> "AskedQuestions":
        """Tokenise those questions that haven't been yet.

        Raises:
            RoleLensError: a prompt is longer than the model's context, or examples don't fit a
                question.
        """
        several = tuple(question_list(questions))
        for question in several:
            if question not in self._items:
                self._items[question] = tokenize_question(self.model, question, self.asking)
        return AskedQuestions(self, several, tuple(self._items[one] for one in several))

    def with_system(self, system: str) -> "Asker":
        """The same asker with another system message."""
        if system not in self._other_systems:
            asking = replace(self.asking, system=system)
            self._other_systems[system] = Asker(self.model, asking, self.compute)
        return self._other_systems[system]


@dataclass(frozen=True, eq=False)
class AskedQuestions:
    """Questions that are tokenised for a model: `Asker.ask` makes them, and sweeps take them.

    Examples:
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model).ask(questions)
        >>> asked.describe()["n_choices"].tolist()
        [2, 3, 2, 3]
        >>> candidates = [(vectors.add(role, layer=1),) for role in ("poet", "cook")]
        >>> asked.scorer().logprobs(candidates).shape    # candidate, question, option
        torch.Size([2, 4, 3])
    """

    asker: Asker
    """Whose model is asked, and how."""
    questions: tuple[Question, ...]
    items: tuple[Item, ...]
    """The questions' tokens, in their order."""

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def model(self) -> Model:
        """The model that is asked."""
        return self.asker.model

    @property
    def asking(self) -> Asking:
        """How the questions are asked."""
        return self.asker.asking

    @property
    def progress(self) -> bool:
        """Whether progress is shown."""
        return self.asker.compute.progress

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What tells scores of these questions from others, as JSON values.

        It holds names and hashes of the model, of the questions, and of how they are asked.
        """
        asking = self.asking
        return {
            **self.asker.model_identity,
            "n_questions": len(self),
            "questions": content_hash([astuple(question) for question in self.questions]),
            "examples": content_hash([astuple(example) for example in asking.examples]),
            "scoring": asking.scoring,
            "template": asking.template,
            "system": asking.system,
            **template_identity(self.model),
            # The chat template or the tokenizer may have changed.
            "tokens": content_hash([astuple(item) for item in self.items]),
        }

    def scorer(self) -> GatedScorer:
        """What scores the questions under patches. It holds the residual stream of all of them.

        Its `logprobs` takes candidates and gives the log-likelihood of each option's tokens, in
        nats, by candidate, question and option; NaN where a question has fewer options. Each
        candidate is a tuple of patches that act together. Those that are scored at once have the
        same kinds, layers and token masks; a patch behind a gate acts on those questions at whose
        prompts the gate is open.
        """
        scorer = engine(self.model, self.items, self.asker.budget)
        return GatedScorer(scorer, self.model, self.items)

    @cached_property
    def margin_design(self) -> MarginDesign:
        """What the margins of these questions need; their groups are the subjects.

        Raises:
            RoleLensError: margins can't tell knowledge by these questions, see `MarginDesign`.
        """
        answers = np.array([question.answer for question in self.questions], dtype=np.int64)
        n_options = np.array([len(item.continuations) for item in self.items])
        return MarginDesign(
            answers,
            np.arange(n_options.max(initial=0)) < n_options[:, None],
            [f"{question.domain}/{question.subject}" for question in self.questions],
            letters=METHODS[self.asking.scoring].lettered,
        )

    def with_system(self, system: str) -> "AskedQuestions":
        """The same questions with another system message."""
        return self.asker.with_system(system).ask(self.questions)

    def with_examples(self, examples: Iterable[Question]) -> "AskedQuestions":
        """The same questions with answered ones before them."""
        asking = replace(self.asking, examples=tuple(examples))
        return Asker(self.model, asking, self.asker.compute).ask(self.questions)

    def blind(self) -> "AskedQuestions":
        """The same questions without their text: only the options are there to go by.

        What changes their scores is no knowledge of the answers.
        """
        return self.asker.ask(replace(one, question=BLIND) for one in self.questions)

    def describe(self) -> pd.DataFrame:
        """Table with a row per question: `question_id, domain, subject, n_choices, answer`."""
        asked = self.questions
        return pd.DataFrame(
            {
                "question_id": [question.id for question in asked],
                "domain": [question.domain for question in asked],
                "subject": [question.subject for question in asked],
                "n_choices": [len(question.choices) for question in asked],
                "answer": [question.answer for question in asked],
            }
        )

    def option_scores(
        self, summed: Float[Tensor, "item choice"]
    ) -> Float[np.ndarray, "item choice"]:
        """What options are compared by, in nats; NaN where there is no option.

        Args:
            summed: log-likelihood of each option's tokens, in nats; NaN where there is no option.
        """
        likelihood = summed.double().numpy()
        return METHODS[self.asking.scoring].score(likelihood, _lengths(self.items, likelihood))

    def check_masks(self, patches: Combined, name: str = "the patch") -> None:
        """Refuse patches that act only after the token that is scored, and so change nothing.

        Raises:
            RoleLensError: every option is one token, and all patches act after the prompt.

        Warns:
            UserWarning: they only change later tokens of the options.
        """
        if not patches or any(changes_first_answer(patch.tokens) for patch in patches):
            return
        masks = " and ".join(sorted({patch.tokens for patch in patches}))
        said = (
            f"{name} acts on tokens={masks!r}, after the prompt's last token, from which the first "
            "token of every option is scored"
        )
        if all(n == 1 for item in self.items for n in item.n_tokens):
            raise RoleLensError(f"{said}: it would change nothing; take 'answer', or another mask")
        warn(
            f"{said}: only later tokens of an option are affected; take 'answer' for the first too"
        )

    def score_columns(self, summed: Float[Tensor, "item choice"]) -> dict[str, np.ndarray]:
        """The columns of `evaluate` from `predicted` on.

        The margin is missing where it can't be told.

        Args:
            summed: log-likelihood of each option's tokens, in nats; NaN where there is no option.
        """
        likelihood, scores = summed.double().numpy(), self.option_scores(summed)
        answers = np.array([question.answer for question in self.questions])
        predicted = np.nanargmax(scores, axis=1)
        correct = np.take_along_axis(scores, answers[:, None], axis=1)[:, 0]
        total = np.logaddexp.reduce(np.where(np.isnan(scores), -np.inf, scores), axis=1)
        try:
            margin = self.margin_design.margins(scores)
        except RoleLensError:
            margin = np.full(len(scores), np.nan)
        logprobs = scores - total[:, None]
        return {
            "predicted": predicted,
            "correct": predicted == answers,
            "margin": margin,
            "logprob_correct": correct - total,
            "entropy": -np.nansum(np.exp(logprobs) * logprobs, axis=1),
            "choice_mass": np.nansum(np.exp(likelihood), axis=1),
            **{f"logprob_{i}": scores[:, i] for i in range(scores.shape[1])},
        }


def _lengths(
    items: Sequence[Item], like: Float[np.ndarray, "item choice"]
) -> Float[np.ndarray, "item choice"]:
    """How many tokens each option has, NaN where there is none."""
    lengths = np.full(like.shape, np.nan)
    for row, item in enumerate(items):
        lengths[row, : len(item.continuations)] = item.n_tokens
    return lengths
