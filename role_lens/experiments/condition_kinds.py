"""Lists the kinds of condition of a comparison, and how each is reported.

    ConditionKind.ADD.tested            # True: one condition per role, tested against the baseline
    ConditionKind.RANDOM.ranged         # True: several per role, of which the range is given
    Pair.ADD_OVER_PERSONA.value         # the two kinds that are tested against each other

An unknown kind raises at once, so that no condition is silently left untested.
"""

from enum import Enum
from typing import Literal

from role_lens.errors import RoleLensError

Report = Literal["reference", "tested", "shown", "ranged"]


class ConditionKind(Enum):
    """The kinds of condition: what is done to the model, or how it is asked.

    Examples:
        >>> from role_lens.experiments import ConditionKind
        >>> ConditionKind.PERSONA.tested, ConditionKind.of("other").ranged
        (True, True)
        >>> [kind.value for kind in ConditionKind if kind.report == "ranged"]
        ['random', 'random_ablate', 'shuffled', 'other', 'phrasing']
    """

    report: Report
    """`reference` is the baseline; `tested` kinds are tested against it, `shown` ones aren't;
    `ranged` kinds have several conditions per role, of which the range is given."""

    def __new__(cls, name: str, report: Report) -> "ConditionKind":
        """A kind by its name in tables."""
        kind = object.__new__(cls)
        kind._value_ = name
        kind.report = report
        return kind

    BASELINE = "none", "reference"
    """The unpatched model, asked in the usual way."""
    PERSONA = "persona", "tested"
    """A persona prompt, such as "You are a <role>.", as system message."""
    ADD = "add", "tested"
    """The role's direction, added."""
    PATCH = "patch", "tested"
    """A patch as it is, which nothing was chosen for."""
    ADD_UNGUARDED = "add_unguarded", "tested"
    """The direction that is chosen without the guards, from all layers and whatever its KL
    divergence, added; only where it is another one."""
    LEARNED = "learned", "tested"
    """The addition at the direction's layer, and no longer than it, that was learned to raise the
    margin of the choosing questions most: a ceiling."""
    BOTH = "both", "tested"
    """Persona prompt and addition together."""
    ABLATE = "ablate", "tested"
    """The role's direction, ablated from all tokens."""
    ABLATE_NOT_FIRST = "ablate_not_first", "tested"
    """The role's direction, ablated from all tokens but the first, whose residual stream is many
    times as long."""
    SHARED = "shared", "tested"
    """The direction's component along the mean of all roles' directions, added."""
    SHARED_MATCHED = "shared_matched", "tested"
    """The same, as long as the role's direction."""
    SPECIFIC = "specific", "tested"
    """The rest of the direction, added."""
    SPECIFIC_MATCHED = "specific_matched", "tested"
    """The same, as long as the role's direction."""
    NEUTRAL_PERSONA = "neutral_persona", "shown"
    """The same without a role, such as "You are a person."."""
    RANDOM = "random", "ranged"
    """Random directions that were chosen as the role's was; beside a patch, the same patch with all
    its directions turned at random."""
    RANDOM_ABLATE = "random_ablate", "ranged"
    """Random directions, ablated from all tokens but the first; the same for all roles."""
    SHUFFLED = "shuffled", "ranged"
    """Directions from shuffled labels, as long as the role's; not chosen."""
    OTHER = "other", "ranged"
    """Other roles' directions, as long as the role's; not chosen."""
    PHRASING = "phrasing", "ranged"
    """Other phrasings of the persona prompt."""

    @staticmethod
    def of(name: str) -> "ConditionKind":
        """The kind of this name.

        Raises:
            RoleLensError: there is none.
        """
        for kind in ConditionKind:
            if kind.value == name:
                return kind
        known = ", ".join(kind.value for kind in ConditionKind)
        raise RoleLensError(f"unknown kind of condition {name!r}: expected one of {known}")

    @property
    def tested(self) -> bool:
        """Whether it is tested against the baseline; such a kind has one condition per role."""
        return self.report == "tested"

    @property
    def ranged(self) -> bool:
        """Whether it has several conditions per role, of which the range is given."""
        return self.report == "ranged"

    @property
    def blind(self) -> bool:
        """Whether it is also asked without the text of the questions."""
        asked_blind = ("ADD", "PATCH", "ABLATE_NOT_FIRST", "PERSONA")
        return self.name in asked_blind

    @property
    def control(self) -> "ConditionKind | None":
        """The kind that it is compared with: the same, done with random directions."""
        controls = {
            ConditionKind.ADD: ConditionKind.RANDOM,
            ConditionKind.PATCH: ConditionKind.RANDOM,
            ConditionKind.ABLATE_NOT_FIRST: ConditionKind.RANDOM_ABLATE,
        }
        return controls.get(self)


class Pair(Enum):
    """Pairs of kinds that are tested against each other, question by question.

    The value holds the two kinds; the effect is that of the first minus that of the second.

    Examples:
        >>> from role_lens.experiments import Pair
        >>> [kind.value for kind in Pair.ADD_OVER_PERSONA.value], Pair.ADD_OVER_PERSONA.label
        (['add', 'persona'], 'add_over_persona')
    """

    ADD_OVER_PERSONA = ConditionKind.ADD, ConditionKind.PERSONA
    BOTH_OVER_PERSONA = ConditionKind.BOTH, ConditionKind.PERSONA
    SPECIFIC_OVER_SHARED = ConditionKind.SPECIFIC_MATCHED, ConditionKind.SHARED_MATCHED
    PERSONA_OVER_NEUTRAL = ConditionKind.PERSONA, ConditionKind.NEUTRAL_PERSONA

    @property
    def label(self) -> str:
        """The pair's name in tables."""
        return self.name.lower()


TESTED = (*(kind.value for kind in ConditionKind if kind.tested), *(pair.label for pair in Pair))
"""Names in tables of all that is tested, in the order of the tables."""
RANGED = tuple(kind.value for kind in ConditionKind if kind.ranged)
"""Names in tables of the kinds of which the range is given."""
