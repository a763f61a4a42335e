"""Measures how often the procedure of `compare` says that roles do more or less, where the truth is
known.

    declared(World(n_test=60), families=1000).any_more    # about 0.05 without an effect

Option scores are simulated, and no model is run: each condition has a temperature, a preference
among letters and noise of its own, which are no knowledge.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import stats

from role_lens.checks import whole_number
from role_lens.errors import RoleLensError
from role_lens.experiments.judging.judgement import both_tails
from role_lens.experiments.judging.verdicts import LEVEL
from role_lens.scoring.margin import MarginDesign
from role_lens.statistics.paired import bootstrap_interval
from role_lens.statistics.random_band import against_random


@dataclass(frozen=True)
class World:
    """A model that is asked questions under conditions which don't change what it knows, unless an
    effect is planted.

    Scores of wrong options have a spread of `spread` in the unchanged model. All other sizes are in
    the same unit.

    Raises:
        RoleLensError: numbers that are too small.

    Examples:
        >>> from role_lens.experiments import World
        >>> World(n_test=20, effect=0.1).n_roles
        29
    """

    n_roles: int = 29
    """Roles that are judged together: they share questions and rotations."""
    n_random: int = 20
    """Random directions of each role, each the best of as many candidates."""
    n_candidates: int = 10
    """Directions that each of these is chosen from."""
    n_validation: int = 60
    """Questions on which directions are chosen."""
    n_test: int = 60
    """Questions that test."""
    n_options: int | None = 4
    """Options of each question; None for 2 to 10."""
    n_subjects: int = 5
    """Subjects; answers and preferences differ between them."""
    knowledge: float = 0.0
    """How far the right option stands above the wrong ones in the unchanged model."""
    effect: float = 0.0
    """How much farther under each of the roles' own candidates."""
    noise: float = 0.1
    """Noise of a condition, on average; conditions differ in it by a factor of up to 3."""
    temperature: float = 2.0
    """Temperatures lie between its inverse and this."""
    preference: float = 0.6
    """The largest preference for a letter."""
    spread: float = 0.5
    """Spread of the wrong options in the unchanged model."""

    def __post_init__(self) -> None:
        for name, least in (("n_roles", 1), ("n_random", 3), ("n_candidates", 1)):
            whole_number(getattr(self, name), name, least=least)
        for name in ("n_validation", "n_test"):
            whole_number(getattr(self, name), name, least=8)
        whole_number(self.n_subjects, "n_subjects", least=1)
        if self.n_options is not None and not 2 <= self.n_options <= 10:
            raise RoleLensError(f"n_options must be 2 to 10, or None, got {self.n_options}")
        for name in ("noise", "preference", "spread"):
            if not getattr(self, name) >= 0:
                raise RoleLensError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.temperature < 1:
            raise RoleLensError(f"temperature must be at least 1, got {self.temperature}")


@dataclass(frozen=True)
class Declared:
    """How often simulated roles are said to do more, or less, as `declared` found it.

    Intervals are 95 % Clopper-Pearson intervals over families.

    Examples:
        >>> from role_lens.experiments import World, declared
        >>> found = declared(World(n_roles=2, n_candidates=2), families=20, permutations=100)
        >>> 0 <= found.any_more <= 1
        True
    """

    families: int
    """Number of simulated families of roles."""
    above: float
    """Share of single tests against the unchanged model that say more, unadjusted."""
    below: float
    """The same for less."""
    any_above: float
    """Share of families in which a role is said to beat the unchanged model, adjusted."""
    any_below: float
    """The same for less."""
    any_more: float
    """Share of families in which a role is said to do more than random."""
    any_more_interval: tuple[float, float]
    """Its interval."""
    any_less: float
    """Share of families in which a role is said to do less than random."""
    any_less_interval: tuple[float, float]
    """Its interval."""
    more: float
    """Share of roles that are said to do more than random: the power, if there is an effect."""
    pooled_more: float
    """Share of families that are said to do more than random, all roles together."""
    pooled_less: float
    """The same for less."""


def declared(world: World, families: int, *, permutations: int = 1_000, seed: int = 0) -> Declared:
    """Judge families of simulated roles as `compare` does, and count what is said of them.

    Each role's direction is the best of its candidates on the validation questions, and so are its
    random directions. All are tested on the same test questions.

    Args:
        world: what is simulated.
        families: number of families of roles.
        permutations: number of permutations in a sign-flip test.

    Examples:
        >>> from role_lens.experiments import World, declared
        >>> declared(World(n_roles=2, n_candidates=2), families=4, permutations=100).families
        4
    """
    families = whole_number(families, "families", least=1)
    rng = np.random.default_rng(seed)
    found = [_family(world, rng, permutations) for _ in range(families)]
    means = {name: np.array([one[name] for one in found]) for name in found[0]}
    return Declared(
        families=families,
        **{name: float(values.mean()) for name, values in means.items()},
        any_more_interval=_interval(means["any_more"]),
        any_less_interval=_interval(means["any_less"]),
    )


def _family(world: World, rng: np.random.Generator, permutations: int) -> dict[str, float]:
    """What is said of one family: shares of its roles, and whether any."""
    asked = [_Asked(world, n, rng) for n in (world.n_validation, world.n_test)]
    choosing, testing = asked
    # Of each role its own direction, and then its random ones.
    effects = np.zeros((world.n_roles, 1 + world.n_random))
    effects[:, 0] = world.effect
    changes = np.empty((*effects.shape, world.n_test))
    for place in np.ndindex(effects.shape):
        style = _Style(world, world.n_candidates, rng)
        means = choosing.margins(style, float(effects[place]), rng).mean(axis=1)
        best = style.only(int(means.argmax()))
        changes[place] = testing.margins(best, float(effects[place]), rng)[0] - testing.own
    own, random = changes[:, 0], changes[:, 1:]
    above, below = both_tails(own, permutations=permutations, seed=int(rng.integers(2**31)))
    excess = own - random.mean(axis=1)
    more, less = both_tails(excess, permutations=permutations, seed=int(rng.integers(2**31)))
    against = against_random(own.mean(axis=1), random.mean(axis=2))
    says_more = (against.p_more_adjusted <= LEVEL) & (more.p_adjusted <= LEVEL)
    says_less = (against.p_less_adjusted <= LEVEL) & (less.p_adjusted <= LEVEL)
    for i in np.flatnonzero(says_more | says_less):  # all of the interval must lie on one side
        low, high = bootstrap_interval(excess[i])
        says_more[i] &= min(low, against.low[i]) > 0
        says_less[i] &= max(high, against.high[i]) < 0
    return {
        "above": float((above.p <= LEVEL).mean()),
        "below": float((below.p <= LEVEL).mean()),
        "any_above": float((above.p_adjusted <= LEVEL).any()),
        "any_below": float((below.p_adjusted <= LEVEL).any()),
        "any_more": float(says_more.any()),
        "any_less": float(says_less.any()),
        "more": float(says_more.mean()),
        "pooled_more": float(against.pooled.p_more <= LEVEL),
        "pooled_less": float(against.pooled.p_less <= LEVEL),
    }


class _Asked:
    """Questions with the unchanged model's scores of their options."""

    def __init__(self, world: World, n: int, rng: np.random.Generator) -> None:
        sizes = np.full(n, world.n_options) if world.n_options else rng.integers(2, 11, n)
        width = int(sizes.max())
        self.present = np.arange(width) < sizes[:, None]
        self.subject = rng.integers(0, world.n_subjects, n)
        self.answers = self._answers(world, rng, width)
        self.scores = rng.normal(0, world.spread, (n, width))
        self.scores[np.arange(n), self.answers] += world.knowledge
        self.design = MarginDesign(self.answers, self.present, self.subject.tolist())
        style = _Style(world, 1, rng)
        usual = self.scores + style.preference(width)[0][self.subject]
        self.own = self.design.margins(usual)

    def _answers(
        self, world: World, rng: np.random.Generator, width: int
    ) -> Int[ndarray, " question"]:
        """Of skewed letters, each subject with a skew of its own."""
        weights = rng.dirichlet(np.full(width, 3.0), world.n_subjects)[self.subject] * self.present
        cumulated = weights.cumsum(axis=1) / weights.sum(axis=1, keepdims=True)
        return (rng.random((len(weights), 1)) > cumulated).sum(axis=1)

    def margins(
        self, style: "_Style", effect: float, rng: np.random.Generator
    ) -> Float[ndarray, "condition question"]:
        scores = self.scores + style.noise[:, None, None] * rng.normal(
            size=(len(style.noise), *self.scores.shape)
        )
        scores[:, np.arange(len(self.answers)), self.answers] += effect
        scores = scores / style.temperature[:, None, None]
        return self.design.margins(scores + style.preference(scores.shape[2])[:, self.subject])


class _Style:
    """What conditions do that is no knowledge: temperatures, preferences and sizes of noise."""

    def __init__(self, world: World, n: int, rng: np.random.Generator) -> None:
        most = np.log(world.temperature)
        self.temperature = np.exp(rng.uniform(-most, most, n))
        self.noise = world.noise * np.exp(rng.uniform(-np.log(3), np.log(3), n))
        shape = (n, world.n_subjects, 10)
        shared = rng.uniform(-1, 1, (n, 1, 10))
        self._preferences = world.preference * (shared + rng.uniform(-0.5, 0.5, shape))

    def preference(self, width: int) -> Float[ndarray, "condition subject option"]:
        return self._preferences[:, :, :width]

    def only(self, number: int) -> "_Style":
        """One of the conditions."""
        one = object.__new__(_Style)
        one.temperature = self.temperature[[number]]
        one.noise = self.noise[[number]]
        one._preferences = self._preferences[[number]]
        return one


def _interval(declared: Float[ndarray, " family"]) -> tuple[float, float]:
    found = stats.binomtest(int(declared.sum()), declared.size).proportion_ci()
    return float(found.low), float(found.high)
