"""Says within which limits a strength is looked for, and on which prompts.

    TuneOptions(start=0.5, guards=Guards(max_kl=1.0, max_cut_off=None))

`tune` and `role-lens tune` take them.
"""

from dataclasses import dataclass, fields
from typing import Annotated

import tyro

from role_lens.checks import check_is, real_number, set_temperature, whole_number
from role_lens.errors import RoleLensError
from role_lens.prompts import filled_prompts
from role_lens.values import as_list

_Fixed = Annotated[tuple[str, ...] | None, tyro.conf.Fixed, tyro.conf.Suppress]


@dataclass(frozen=True)
class Guards:
    """What a patch may cost at most, each None for no limit.

    Raises:
        RoleLensError: a limit below 0.

    Examples:
        >>> from role_lens.tuning import Guards
        >>> costs = {"kl": 0.4, "kl_worst": 9.0, "repetition": 0.9, "fluency_loss": 0.1}
        >>> Guards().broken(costs)
        'kl_worst'
        >>> Guards(max_kl_worst=None).broken(costs)
        'repetition'
    """

    max_kl: float | None = 1.5
    """Mean KL divergence of the first answer token on neutral prompts, in nats."""
    max_kl_worst: float | None = 6.0
    """The same, mean of the worst twentieth of these prompts."""
    max_repetition: float | None = 0.15
    """Share of runs of three words that repeat an earlier one, more than without the patch."""
    max_fluency_loss: float | None = 1.0
    """Log-likelihood per token that the unpatched model gives the texts, less than it gives its
    own, in nats."""
    max_cut_off: float | None = 0.5
    """Share of answers that the limit of tokens ends, more than without the patch. It can't break
    where nearly all plain answers are cut off."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            number = real_number(value, field.name)
            if number < 0:
                raise RoleLensError(f"{field.name} must be at least 0, got {number:g}")
            object.__setattr__(self, field.name, number)

    def broken(self, costs: dict[str, float]) -> str:
        """The first guard that costs break, or an empty string.

        Args:
            costs: by the guards' names without `max_`; one that is missing breaks nothing, and one
                that is no number (no text at all) does.
        """
        for field in fields(self):
            limit, name = getattr(self, field.name), field.name.removeprefix("max_")
            if limit is not None and name in costs and not costs[name] <= limit:
                return name
        return ""


@dataclass(frozen=True)
class TuneOptions:
    """How a strength is looked for.

    Raises:
        RoleLensError: a number out of range, or an empty prompt.

    Examples:
        >>> from role_lens.tuning import TuneOptions
        >>> TuneOptions(prompts=("How was your week?",), bisections=2).prompts
        ('How was your week?',)
    """

    start: float = 1.0
    """The first strength that is tried, a multiple of the patch as it is given."""
    most: float = 64.0
    """No strength beyond this one is tried."""
    bisections: int = 4
    """How often the interval is halved in which a guard breaks first."""
    refinements: int = 1
    """How often the gaps to both neighbours of the best strength are halved, where these are
    within the guards."""
    n_prompts: int = 16
    """How many built-in base prompts are asked, beside four questions about one's work."""
    prompts: _Fixed = None
    """What is asked in their place."""
    neutral: _Fixed = None
    """Prompts for the KL divergence. None for every eighth built-in base prompt."""
    max_new_tokens: int = 48
    """Longest answer, in tokens."""
    temperature: float = 0.0
    """0 for greedy texts; above, tokens are sampled."""
    seed: int = 0
    """Seed of the sampling."""
    guards: Annotated[Guards, tyro.conf.arg(name="")] = Guards()
    """What the patch may cost."""

    def __post_init__(self) -> None:
        check_is(self.guards, Guards, "guards")
        set_temperature(self)
        least = {
            **{"bisections": 0, "refinements": 0, "n_prompts": 1},
            **{"max_new_tokens": 1, "seed": 0},
        }
        for name, lowest in least.items():
            number = whole_number(getattr(self, name), name, least=lowest)
            object.__setattr__(self, name, number)
        for name in ("start", "most"):
            object.__setattr__(self, name, real_number(getattr(self, name), name))
        if not 0 < self.start <= self.most:
            raise RoleLensError(
                f"start must be above 0 and at most {self.most:g}, the most; got {self.start:g}"
            )
        for name in ("prompts", "neutral"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, filled_prompts(as_list(value), name))
