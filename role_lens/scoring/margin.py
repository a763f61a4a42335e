"""Scores knowledge: how far the right option stands above the wrong ones, in units of their spread.

    margins(scores, answers, groups=subjects)    # scores: question x option; 0 is chance

Neither a change of temperature nor a preference among letters moves a margin, which is what makes
it a score of knowledge: both can raise log p(correct) of a model that knows nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from role_lens.errors import RoleLensError
from role_lens.values import shown

_TINY = 1e-9
_NO_SPREAD = (
    "the wrong options all have the same score under a condition, so that there is no spread to "
    "measure a margin by: ask questions whose options differ, or try a smaller coefficient"
)
_NONE_LEFT = 1e-3
"""Shares of a question's scores that are left below this are none: its letters took them all."""


class MarginDesign:
    """What the margins of some questions need that doesn't depend on the scores.

    With s the scores of a question's options, the model is

        s = level of the question + preference for the letter in its group + κ · (is right) + noise.

    The first two are taken out by least squares, and κ, in units of the spread of the wrong
    options, is the mean margin. A question's margin is what it contributes to κ (Frisch and Waugh
    1933): the mean over questions is the estimate, and where letters are balanced in each group a
    margin is nearly the right option's score minus the mean of the wrong ones.

    Preferences that are measured on few questions follow these questions' noise, which makes
    contributions too alike. So their deviations from the mean are made as large as they would be
    otherwise (the correction CR2 of Bell and McCaffrey 2002), and tests of margins hold in groups
    of any size.

    Args:
        answers: index of the right option of each question.
        present: which options each question has.
        groups: the group of each question, such as its subject; None for one group.
        letters: whether options have letters, whose preference is taken out.

    Raises:
        RoleLensError: a question with fewer than two options, or an answer that isn't one of them;
            all answers of each group at one letter, so that knowledge can't be told from a
            preference for it; or too few questions.

    Examples:
        >>> import numpy as np
        >>> from role_lens.scoring import MarginDesign
        >>> design = MarginDesign(np.array([0, 1]), np.ones((2, 3), dtype=bool))
        >>> scores = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
        >>> design.margins(scores).shape
        (2,)
    """

    def __init__(
        self,
        answers: Int[ndarray, " question"],
        present: Bool[ndarray, "question option"],
        groups: Sequence[Any] | None = None,
        *,
        letters: bool = True,
    ) -> None:
        present = np.asarray(present, dtype=bool)
        n_options = present.sum(axis=1)
        if not len(present) or n_options.min() < 2:
            raise RoleLensError(
                "margins need questions with at least two options each, got "
                + (f"one with {n_options.min()}" if len(present) else "no questions")
            )
        rows = np.arange(len(present))
        inside = (answers >= 0) & (answers < present.shape[1])
        if not (inside.all() and present[rows, answers].all()):
            wrong = int(np.argmin(inside & present[rows, np.where(inside, answers, 0)]))
            raise RoleLensError(
                f"question {wrong} (counted from 0) has answer {answers[wrong]}, which is none of "
                f"its options: {', '.join(map(str, np.flatnonzero(present[wrong])))}"
            )
        self.n_questions = len(present)
        self.n_options = n_options
        self._present = present
        self._question, option = np.nonzero(present)  # of each cell
        self._is_right = option == answers[self._question]
        self._letters = self._basis(option, groups) if letters else np.zeros((len(option), 0))
        self._answers = self._residual(self._is_right.astype(np.float64))
        self._degrees = len(option) - self.n_questions - self._letters.shape[1] - 1
        if self._degrees < 1:
            letters_too = " and a preference for each letter of each group" if letters else ""
            raise RoleLensError(
                f"{self.n_questions} questions with {len(option)} options are too few to measure "
                f"a spread beside a level for each question{letters_too}: ask more"
                + (", or in fewer groups" if letters else "")
            )
        self._corrected = self._with_usual_spread()
        self._information = float(self._answers @ self._answers)
        if self._information < _TINY * self.n_questions:
            raise RoleLensError(
                "the answers of each group are all at one letter, so that knowledge can't be told "
                "from a preference for it: ask questions with their answers at several letters"
            )

    def margins(
        self, scores: Float[ndarray, "*condition question option"]
    ) -> Float[ndarray, "*condition question"]:
        """The margin of each question under each condition.

        Args:
            scores: what options are compared by, such as log-likelihoods, in any unit; anything
                where a question has no such option.

        Raises:
            RoleLensError: the wrong options of a condition all have the same score, so that there
                is no spread to measure by; or scores that are NaN or infinite.
        """
        cells = self._cells(scores)
        spread = self.spreads(scores)
        if bool((spread <= _TINY * np.abs(cells).max(initial=1.0)).any()):
            raise RoleLensError(_NO_SPREAD)
        residual = self._residual(cells)
        deviating = self._by_question(self._corrected * residual) * self.n_questions
        deviating -= deviating.mean(axis=-1, keepdims=True)
        summed = (residual @ self._answers)[..., None] + deviating
        return summed / self._information / spread[..., None]

    def spreads(
        self, scores: Float[ndarray, "*condition question option"]
    ) -> Float[ndarray, "*condition"]:
        """The spread of the wrong options under each condition, in the unit of the scores.

        It is their standard deviation within questions, without the letters' preferences. Where
        few questions have two wrong options or more, it is what the fit leaves of all options.
        """
        deviation, degrees = self._deviation(self._cells(scores))
        return np.asarray(np.sqrt(np.square(deviation).sum(axis=-1) / degrees))

    def gradient(
        self, scores: Float[ndarray, "question option"]
    ) -> Float[ndarray, "question option"]:
        """The gradient of the mean margin with respect to the scores; 0 where there is no option.

        With σ the spread, κσ is linear in the scores, and σ² quadratic.
        """
        cells = self._cells(scores)
        deviation, degrees = self._deviation(cells)
        spread = float(np.sqrt(deviation @ deviation / degrees))
        if spread <= _TINY * np.abs(cells).max(initial=1.0):
            raise RoleLensError(_NO_SPREAD)
        linear = self._answers / self._information
        # `deviation` is an orthogonal projection of what `_left` leaves, another one.
        spread_gradient = self._left(deviation) / (degrees * spread)
        found = np.zeros(self._present.shape)
        found[self._present] = linear / spread - (cells @ linear) / spread**2 * spread_gradient
        return found

    def _deviation(self, cells: ndarray) -> tuple[ndarray, float]:
        """What varies among the wrong options of a question, and its degrees of freedom."""
        left = self._left(cells)
        n_wrong = self.n_options - 1
        # Of few questions the spread would be so uncertain that margins are skewed.
        if (n_wrong - 1).sum() < self.n_questions / 2:
            return left, float(self._degrees)
        of_wrong = np.where(self._is_right, 0.0, left)
        mean = self._by_question(of_wrong) / n_wrong
        deviation = np.where(self._is_right, 0.0, of_wrong - mean[..., self._question])
        shared = self._degrees / (left.shape[-1] - self.n_questions)  # the letters take the rest
        return deviation, float((n_wrong - 1).sum()) * shared

    def _left(self, cells: ndarray) -> ndarray:
        """Cells without levels, preferences and knowledge."""
        residual = self._residual(cells)
        knowledge = (residual @ self._answers) / self._information
        return residual - knowledge[..., None] * self._answers

    def _cells(self, scores: ndarray) -> ndarray:
        cells = np.asarray(scores, dtype=np.float64)[..., self._present]
        if not np.isfinite(cells).all():
            raise RoleLensError("margins need finite scores of all options, got NaN or infinite")
        return cells

    def _basis(self, option: ndarray, groups: Sequence[Any] | None) -> ndarray:
        """An orthonormal basis of what preferences among letters can do, within questions."""
        names = np.array([str(one) for one in groups] if groups is not None else [""])
        _, group = np.unique(np.broadcast_to(names, self.n_questions), return_inverse=True)
        size = np.bincount(group)
        group = np.where(size[group] == 1, len(size), group)
        columns, of_cell = np.unique(
            np.stack([group[self._question], option]), axis=1, return_inverse=True
        )
        dummies = np.zeros((len(option), columns.shape[1]))
        dummies[np.arange(len(option)), of_cell.ravel()] = 1.0
        left, values, _ = np.linalg.svd(self._centred(dummies.T).T, full_matrices=False)
        return left[:, values > 1e-8]

    def _with_usual_spread(self) -> ndarray:
        """The answers' residual, corrected for what each question loses to the preferences."""
        corrected = np.zeros_like(self._answers)
        ends = np.cumsum(self.n_options)
        for start, end in zip(ends - self.n_options, ends, strict=True):
            letters = self._letters[start:end]
            left = np.eye(end - start) - 1 / (end - start) - letters @ letters.T
            share, vectors = np.linalg.eigh(left)
            kept = share > _NONE_LEFT
            root = (vectors[:, kept] / np.sqrt(share[kept])) @ vectors[:, kept].T
            corrected[start:end] = root @ self._answers[start:end]
        return corrected

    def _centred(self, cells: ndarray) -> ndarray:
        return cells - (self._by_question(cells) / self.n_options)[..., self._question]

    def _residual(self, cells: ndarray) -> ndarray:
        """Cells without the questions' levels and the letters' preferences."""
        centred = self._centred(cells)
        return centred - (centred @ self._letters) @ self._letters.T

    def _by_question(self, cells: ndarray) -> ndarray:
        """Sums over the options of each question."""
        start = np.concatenate([[0], np.cumsum(self.n_options)[:-1]])
        return np.add.reduceat(cells, start, axis=-1)


def margins(
    scores: Float[ndarray, "question option"],
    answers: Int[ndarray, " question"] | Sequence[int],
    groups: Sequence[Any] | None = None,
    *,
    letters: bool = True,
) -> Float[ndarray, " question"]:
    """How far each question's right option stands above the wrong ones, in units of their spread.

    Multiplying all scores by a number (another temperature), adding a number for each letter in
    each group (another preference among letters), or one for each question changes no margin. The
    mean is 0 where the model doesn't know which option is right, and it is linear in knowledge:
    near chance, 0.1 is worth about 2.6 points of accuracy on four options.

    Margins of one set of questions belong together: preferences and spread are measured on all of
    them, so that a question's margin depends on the others a little.

    Args:
        scores: what options are compared by, such as log-likelihoods, in any unit; NaN where a
            question has no such option.
        answers: index of the right option of each question.
        groups: the subject of each question: preferences among letters may differ between them, as
            answers do. Questions that are alone in theirs are taken together. None for one group.
        letters: whether the options have letters; False for scores of their texts, of which no
            preference is taken out.

    Returns:
        The margin of each question.

    Raises:
        RoleLensError: a question with one option, all answers at one letter, wrong options without
            any spread, or scores that are infinite.

    Examples:
        >>> import numpy as np
        >>> from role_lens.scoring import margins
        >>> rng = np.random.default_rng(0)
        >>> scores, answers = rng.normal(size=(40, 4)), rng.integers(0, 4, 40)
        >>> warmer = scores / 1.7 + np.array([0.5, 0.0, -0.2, 0.1])    # and prefers A
        >>> bool(np.abs(margins(warmer, answers) - margins(scores, answers)).max() < 1e-9)
        True
    """
    try:
        found = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RoleLensError(
            f"expected numbers by question and option, NaN where there is none, got {shown(scores)}"
        ) from error
    if found.ndim != 2:
        raise RoleLensError(f"expected scores by question and option, got shape {found.shape}")
    chosen = np.asarray(answers)
    if len(found) and chosen.dtype.kind not in "iu":
        raise RoleLensError(
            f"answers must be whole numbers, the index of each right option, got {shown(answers)}"
        )
    if chosen.shape != found.shape[:1]:
        raise RoleLensError(
            f"expected an answer for each of {len(found)} questions, got shape {chosen.shape}"
        )
    if groups is not None and len(groups) != len(found):
        raise RoleLensError(
            f"expected a group for each of {len(found)} questions, got {len(groups)}"
        )
    design = MarginDesign(chosen.astype(np.int64), ~np.isnan(found), groups, letters=letters)
    return design.margins(found)
