"""Says in words what the numbers of a comparison mean.

    verdict(Finding(excess=0.12, low=0.03, high=0.21, p_more=0.048, p_question_more=0.01, ...))

A verdict says first whether more was done than random directions do, and only then whether the
unchanged model was beaten: where that answers below chance by luck, whatever disturbs it seems to
help.
"""

from dataclasses import dataclass
from math import isnan, nan

LEVEL = 0.05
"""The level of all tests: 5 %."""
BOUND = 0.1
"""Effects that are smaller don't matter, unless the user sets another bound: in margins, about 2.6
points of accuracy on four options near chance."""


@dataclass(frozen=True)
class Finding:
    """The numbers that a verdict follows from, all in margins.

    Examples:
        >>> from role_lens.experiments import Finding
        >>> Finding(excess=0.2, low=0.1, high=0.3).is_more
        False
    """

    excess: float
    """Effect minus the mean effect of the random directions."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""
    p_more: float = 1.0
    """Adjusted p value against random directions: that the role is no more than one of them."""
    p_less: float = 1.0
    """The same for less."""
    p_question_more: float = 1.0
    """Adjusted p value over questions: that other questions would not show the excess."""
    p_question_less: float = 1.0
    """The same for less."""
    p_helps: float = 1.0
    """Adjusted p value against the unchanged model."""
    p_hurts: float = 1.0
    """The same for less."""
    knows: bool = True
    """Whether the unchanged model knows anything here."""
    needs_question: bool = True
    """Whether it does more with the text of the questions than without."""
    effect: float = nan
    """Effect against the unchanged model."""
    learned: float = nan
    """Effect of the addition that was learned at the same layer and length, if any was."""
    learned_low: float = nan
    """Lower end of its interval."""

    @property
    def is_more(self) -> bool:
        """Whether it is more than random, over directions and over questions, and so is all of its
        interval."""
        return bool(max(self.p_more, self.p_question_more) <= LEVEL and self.low > 0)

    @property
    def is_less(self) -> bool:
        """Whether it is less than random, over directions and over questions, and so is all of its
        interval."""
        return bool(max(self.p_less, self.p_question_less) <= LEVEL and self.high < 0)


NOTHING_TO_JUDGE = "the model's answers carry no knowledge here; nothing to judge"
"""The verdict where the unchanged model knows nothing."""


def verdict(found: Finding, *, bound: float = BOUND) -> str:
    """Say in words what one addition or ablation did.

    Args:
        bound: what is smaller is no difference.

    Examples:
        >>> from role_lens.experiments import Finding, verdict
        >>> verdict(Finding(excess=0.01, low=-0.05, high=0.07))
        'no more than random: within ± 0.07'
    """
    if not found.knows:
        return NOTHING_TO_JUDGE
    return _beside_random(found, bound) + _beside_learned(found)


def _beside_random(found: Finding, bound: float) -> str:
    interval = f"({found.low:.2g} to {found.high:.2g})"
    if found.is_more:
        helps = found.p_helps <= LEVEL
        then = "and more than the unchanged model" if helps else "not more than the unchanged model"
        blind = "" if found.needs_question else "; not shown to need the questions' text"
        return f"more than random by {found.excess:.2g} {interval}, {then}{blind}"
    if found.is_less:
        hurts = found.p_hurts <= LEVEL
        then = "and less than the unchanged model" if hurts else "not less than the unchanged model"
        return f"less than random by {-found.excess:.2g} {interval}, {then}"
    farthest = max(-found.low, found.high)
    if farthest <= bound:
        return f"no more than random: within ± {farthest:.2g}"
    return f"can't be told from random: {found.low:.2g} to {found.high:.2g}"


def _beside_learned(found: Finding) -> str:
    """What share it is of the most that any addition there is known to do."""
    if isnan(found.learned):
        return ""
    if not found.learned_low > 0:
        return "; a learned addition no longer than it isn't shown to help"
    learned = f"a learned addition no longer than it gains {found.learned:.2g}"
    if not found.effect > 0:
        return f"; {learned}"
    share = f"{found.effect / found.learned:.0%} of that"
    return f"; {learned} over the unchanged model, and it {found.effect:.2g} ({share})"
