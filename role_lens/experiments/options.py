"""Holds what a sweep tries, how a direction is chosen, and how it is tested, each as one record.

    Grid(roles=("economist",), layers=(10, 15, 20), screen=10)
    Selection(objective="accuracy", max_kl=0.05)
    TestPlan(n_random=40, max_questions=60)

The command line makes options of their fields, and a run's record holds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, get_args

import tyro

from role_lens.checks import check_is, real_number, whole_number
from role_lens.errors import RoleLensError
from role_lens.patches.kind import KINDS
from role_lens.questions.question import Question, question_list
from role_lens.questions.splits import MIN_QUESTIONS
from role_lens.schedule import ONE, check_schedule
from role_lens.scoring.asking import Asking
from role_lens.values import as_list, shown

MIN_RANDOM = 20
"""The fewest random directions of a null band."""
MIN_PERMUTATIONS = 100
"""The fewest permutations of a sign-flip test, whose p values then have steps of 1 %."""
Objective = Literal["margin", "accuracy"]
"""What is largest for the chosen direction: the mean margin, or the accuracy."""


def _set_names(record: Any, field: str) -> None:
    """Make a tuple of strings of a record's field, and refuse a single string."""
    value = getattr(record, field)
    if value is None and field not in ("kinds", "schedules"):
        return
    names = as_list(value)
    if names is None:
        raise RoleLensError(f"{field} must be a tuple of strings, got {shown(value)}")
    object.__setattr__(record, field, tuple(map(str, names)))


def _several(values: Any) -> list[Any]:
    """The numbers of a list, an array or the like; a lone number counts as one of them."""
    several = as_list(values)
    return [values] if several is None else several


@dataclass(frozen=True)
class Grid:
    """Which candidate directions to try: every combination of these.

    None takes all that the vectors have.

    Raises:
        RoleLensError: an unknown kind, layers or positions that are no whole numbers, coefficients
            that are not finite, or screening of what can't be estimated.

    Examples:
        >>> Grid(roles=("poet",), layers=(1, 2), coefficients=(1.0, 2.0)).coefficients
        (1.0, 2.0)
    """

    roles: tuple[str, ...] | None = None
    """Roles whose directions are tried. Default: all in the file, or all whose domain has
    questions."""
    layers: tuple[int, ...] | None = None
    """Layers whose directions are tried."""
    positions: tuple[int, ...] | None = None
    """Token positions whose directions are tried, from the end of the formatted prompt."""
    contrasts: tuple[str, ...] | None = ("base",)
    """Role minus base prompts (`base`), role minus the mean of the other roles (`roles`), or
    another finder's contrast."""
    kinds: tuple[str, ...] = ("add",)
    """What is done with the directions: `add`, `add_normed`, `ablate`, `clamp`, `cap`, `floor`,
    `rotate`."""
    coefficients: tuple[float, ...] = (1.0,)
    """How many times the raw direction is added; for clamp, cap and floor, how many times the mean
    projection of the role's prompts is the value; for rotate, how many times the angle between the
    mean of the role's prompts and the same mean without the direction. An ablation has none."""
    schedules: tuple[str, ...] = (ONE,)
    """How what is done at a layer is shared out over the layers around it: `one` (that layer
    alone), `range:W` (W layers on each side) or `bell:W` (a standard deviation of W layers). For
    additions and rotations."""
    screen: int | None = None
    """Compute exactly only this many directions of each role, at all coefficients and schedules:
    those with the highest effect as estimated by `attribute`. None for all. For additions only."""

    def __post_init__(self) -> None:
        # Of Python's own types, however they are given: they are part of the keys of results.
        for name in ("roles", "contrasts", "kinds", "schedules"):
            _set_names(self, name)
        for schedule in self.schedules:
            check_schedule(schedule)
        for name in ("layers", "positions"):
            values = getattr(self, name)
            if values is not None:
                numbers = tuple(whole_number(value, f"a {name[:-1]}") for value in _several(values))
                object.__setattr__(self, name, numbers)
        if self.screen is not None:
            object.__setattr__(self, "screen", whole_number(self.screen, "screen"))
        several = _several(self.coefficients)
        coefficients = tuple(real_number(value, "a coefficient") for value in several)
        object.__setattr__(self, "coefficients", coefficients)
        for kind in self.kinds:
            KINDS.check(kind)
        if self.screen is not None and (self.screen < 1 or {*self.kinds} != {"add"}):
            raise RoleLensError(
                f"screen={self.screen}: screening keeps at least one candidate of each role, and "
                "estimates additions only; sweep other kinds without it"
            )


@dataclass(frozen=True)
class Selection:
    """How a direction is chosen for each role on validation questions.

    It says from which candidates, by which objective, and within which limits.

    Raises:
        RoleLensError: an unknown objective, other kinds than additions, or a share out of range.

    Examples:
        >>> Selection(objective="accuracy", max_kl=None).within(n_layers=30).grid.layers[-1]
        23
    """

    # The command line takes it apart, see `role_lens.cli.commands.compare`.
    grid: Annotated[Grid, tyro.conf.Fixed, tyro.conf.Suppress] = Grid(contrasts=None, screen=1)
    """The candidates, additions only. Random directions are chosen from as many, in the same way,
    so that with 20 of them every further candidate of a role costs 21 times its own time."""
    objective: Objective = "margin"
    """What is largest for the chosen direction: the mean margin, or the accuracy. Screening
    estimates the former in either case."""
    max_kl: float | None = 0.5
    """Largest mean KL divergence, in nats, of the first answer token on neutral prompts. A
    direction beyond it gives way to the next best; of a role's directions that are screened, 20 at
    most are held against it. None for no limit."""
    leave_out_last: float | None = 0.2
    """Share of the layers, the last ones, that are not tried (Arditi et al., arXiv 2406.11717,
    appendix C), unless the grid names its layers. None tries all."""
    neutral: tuple[str, ...] | None = None
    """Prompts for the KL divergence. Default: every eighth of the built-in base prompts."""

    def __post_init__(self) -> None:
        check_is(self.grid, Grid, "grid")
        _set_names(self, "neutral")
        for name in ("max_kl", "leave_out_last"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, real_number(value, name, finite=False))
        if self.neutral == ():
            raise RoleLensError("neutral must hold at least one prompt, or be None, got ()")
        if self.objective not in get_args(Objective):
            raise RoleLensError(
                f"objective must be one of {get_args(Objective)}, got {self.objective!r}"
            )
        if {*self.grid.kinds} != {"add"}:
            raise RoleLensError(f"only additions are chosen from, got kinds {self.grid.kinds}")
        if self.leave_out_last is not None and not 0 <= self.leave_out_last < 1:
            raise RoleLensError(
                f"leave_out_last must be at least 0 and below 1, got {self.leave_out_last}"
            )

    def within(self, n_layers: int) -> "Selection":
        """The same for a model of so many layers, with the last ones left out of the grid."""
        if self.grid.layers is not None:
            return self
        left_out = int(n_layers * (self.leave_out_last or 0.0) + 1e-9)  # 50 * 0.58 is 28.999…
        return replace(self, grid=replace(self.grid, layers=tuple(range(n_layers - left_out))))

    def of_roles(self, roles: Sequence[str]) -> "Selection":
        """The same for some roles."""
        return replace(self, grid=replace(self.grid, roles=tuple(roles)))


@dataclass(frozen=True)
class TestPlan:
    """How a choice is tested: controls, limits of questions, permutations, seed.

    Raises:
        RoleLensError: fewer than 20 random directions or questions, no permutations, or a negative
            seed or number.

    Examples:
        >>> TestPlan(max_questions=60, max_off_domain=0).n_random
        20
    """

    __test__ = False  # or pytest would take it for a class of tests

    n_random: int = MIN_RANDOM
    """Number of random directions that are chosen as the role's is, at least 20."""
    n_random_ablations: int = MIN_RANDOM
    """Number of random directions that are ablated beside the roles' ones, at least 20; 0 for
    none."""
    n_shuffled: int = 5
    """Number of directions from shuffled labels of role and base prompts."""
    n_other: int = 5
    """Number of other roles whose directions are added beside each role's, drawn at random."""
    n_phrasings: int = 5
    """Number of phrasings of the persona prompt that are asked beside the chosen one, at most."""
    max_validation: int | None = None
    """Most questions of a domain on which directions are chosen, at least 20. Samples keep the
    share of each subject."""
    max_questions: int | None = None
    """Most test questions of a role's own domain, at least 20."""
    max_off_domain: int | None = None
    """Most test questions of every other domain, at least 20; 0 for none."""
    positive_controls: bool = True
    """Try what must be found in each domain, see `role_lens.experiments.positive_controls`."""
    learning_steps: int = 0
    """Steps in which the best addition at each role's layer and length is learned, as a ceiling
    (`role_lens.experiments.learn_addition`), at most; 0 for none. A step costs as much as three
    conditions on the questions that choose."""
    judge_all: bool = False
    """Judge a domain even if the unchanged model's answers carry no knowledge there."""
    bound: float = 0.1
    """What is smaller is no difference, in margins."""
    permutations: int = 10_000
    """Number of permutations in a sign-flip test."""
    seed: int = 0
    """Seed of the splits and of all random directions."""

    def __post_init__(self) -> None:
        for number in fields(self):
            value = getattr(self, number.name)
            if isinstance(number.default, bool):
                check_is(value, bool, number.name)
            elif number.name == "bound":
                object.__setattr__(self, "bound", real_number(value, "bound"))
            elif value is not None or not number.name.startswith("max_"):
                object.__setattr__(self, number.name, whole_number(value, number.name))
        if self.bound <= 0:
            raise RoleLensError(f"bound must be above 0, got {self.bound:g}")
        if self.n_random < MIN_RANDOM:
            raise RoleLensError(f"n_random must be at least {MIN_RANDOM}, got {self.n_random}")
        if self.n_random_ablations and self.n_random_ablations < MIN_RANDOM:
            raise RoleLensError(
                f"n_random_ablations must be 0 (none) or at least {MIN_RANDOM}, got "
                f"{self.n_random_ablations}"
            )
        for name in ("seed", "n_shuffled", "n_other", "n_phrasings", "learning_steps"):
            if getattr(self, name) < 0:
                raise RoleLensError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name, limit, instead in (
            ("max_validation", self.max_validation, ""),
            ("max_questions", self.max_questions, ""),
            ("max_off_domain", self.max_off_domain or None, "0 (ask no other domains) or "),
        ):
            if limit is not None and limit < MIN_QUESTIONS:
                raise RoleLensError(
                    f"{name} must be {instead}at least {MIN_QUESTIONS}, got {limit}"
                )
        if self.permutations < MIN_PERMUTATIONS:
            raise RoleLensError(
                f"permutations must be at least {MIN_PERMUTATIONS}, or the level of 5 % is hardly "
                f"reached whatever the effect, got {self.permutations}"
            )


@dataclass(frozen=True)
class Exam:
    """The questions of a comparison: which test, which choose, and how they are asked.

    It also says which role belongs to which domain.

    Examples:
        >>> Exam(questions, domains={"poet": "verse"}).asking.scoring
        'letter'
    """

    questions: Sequence[Question]
    """Questions that test, of any number of domains."""
    validation: Sequence[Question] | None = None
    """Questions on which directions are chosen; None to take half of `questions`, keeping the share
    of each subject. A question in both lists is used for testing only, and repeats are dropped."""
    asking: Asking = Asking()
    """How they are asked."""
    domains: Mapping[str, str] = field(default_factory=dict)
    """Role -> its domain, beside those of arXiv 2502.12055."""

    def __post_init__(self) -> None:
        check_is(self.asking, Asking, "asking")
        object.__setattr__(self, "questions", question_list(self.questions))
        if self.validation is not None:
            validation = question_list(self.validation, "validation")
            object.__setattr__(self, "validation", validation)
        if not isinstance(self.domains, Mapping):
            raise RoleLensError(
                "domains must be a mapping of roles to domains, such as {'beekeeper': 'plants'}, "
                f"got {shown(self.domains)}"
            )
