"""Makes the conditions that judge a role vector: the vector, its parts, and the controls.

    [baseline(), *judged_conditions(vectors, choice, persona=0)]

Their kinds are those of `ConditionKind`.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import einops
from jaxtyping import Float
from torch import Tensor

from role_lens.directions import unit
from role_lens.experiments.condition_kinds import ConditionKind
from role_lens.experiments.controls.control_directions import random_directions, shared_and_specific
from role_lens.experiments.options import TestPlan
from role_lens.experiments.selection import Choice
from role_lens.patches.patch import Combined, Patch
from role_lens.prompts import NEUTRAL_PERSONA, persona_prompts
from role_lens.vectors import RoleVectors

_ROUNDING = 1e-4  # of a direction's length: what is shorter is not one


@dataclass(frozen=True, eq=False)
class Condition:
    """One way of changing or asking the model, in which all questions are asked.

    Examples:
        >>> from role_lens.experiments import Condition, ConditionKind
        >>> Condition(ConditionKind.PERSONA, "poet", system="You are a poet.").labels
        {'kind': 'persona', 'role': 'poet', 'detail': None}
    """

    kind: ConditionKind
    role: str | None = None
    """The role that it is about; None for the baseline."""
    detail: str | None = None
    """Which of several: the number of a phrasing or direction, or another role."""
    patches: Combined = ()
    """What is done to the model; the empty tuple for nothing."""
    system: str | None = None
    """System message in the place of the usual one; None for the usual one."""

    @property
    def labels(self) -> dict[str, Any]:
        """The condition as the columns `kind, role, detail` of tables."""
        return {"kind": self.kind.value, "role": self.role, "detail": self.detail}


def baseline() -> Condition:
    """The baseline: the unpatched model, asked in the usual way.

    Examples:
        >>> from role_lens.experiments import baseline
        >>> baseline().labels
        {'kind': 'none', 'role': None, 'detail': None}
    """
    return Condition(ConditionKind.BASELINE)


def judged_conditions(
    vectors: RoleVectors, choice: Choice, *, persona: int | None
) -> list[Condition]:
    """Conditions that are tested: persona prompt, addition, ablation, shared and specific part.

    There are no parts where the mean of the roles' directions is zero, or is the role's own
    direction but for its length.

    Args:
        choice: the direction that was chosen for the role.
        persona: number of the phrasing of the persona prompt that was chosen; None for no such
            condition, which some chat templates don't allow.

    Examples:
        >>> from role_lens.experiments import Choice, judged_conditions
        >>> choice = Choice(DirectionSpec("poet", layer=1), 0.1, 0.0, 0.02, 20, 10)
        >>> [one.kind.value for one in judged_conditions(vectors, choice, persona=0)]
        ['add', 'ablate', 'ablate_not_first', 'persona', 'shared', ... 'specific_matched']
    """
    role = choice.role
    patch = choice.patch(vectors)
    raw = patch.direction
    conditions = [
        Condition(ConditionKind.ADD, role, patches=(patch,)),
        Condition(
            ConditionKind.ABLATE, role, patches=(Patch.ablate(raw, fingerprint=patch.fingerprint),)
        ),
        Condition(
            ConditionKind.ABLATE_NOT_FIRST,
            role,
            patches=(Patch.ablate(raw, tokens="not_first", fingerprint=patch.fingerprint),),
        ),
    ]
    if persona is not None:
        conditions.append(
            Condition(ConditionKind.PERSONA, role, system=persona_prompts(role)[persona])
        )
    for kind, part in _parts(vectors, choice, raw).items():
        matched = unit(part) * raw.norm()
        of_kind, of_matched = ConditionKind.of(kind), ConditionKind.of(f"{kind}_matched")
        conditions.append(Condition(of_kind, role, patches=(_like(patch, part),)))
        conditions.append(Condition(of_matched, role, patches=(_like(patch, matched),)))
    return conditions


def persona_conditions(role: str, addition: Patch | None) -> list[Condition]:
    """Conditions that hold a role vector against persona prompts.

    They are the persona prompt, one without a role, and if there is an addition, the addition alone
    and together with the persona prompt.

    Args:
        addition: the patch that adds the role's direction; None where no direction was chosen.

    Examples:
        >>> from role_lens.experiments import persona_conditions
        >>> [one.kind.value for one in persona_conditions("poet", vectors.add("poet", layer=1))]
        ['persona', 'neutral_persona', 'add', 'both']
    """
    persona = persona_prompts(role)[0]
    prompts = [
        Condition(ConditionKind.PERSONA, role, system=persona),
        Condition(ConditionKind.NEUTRAL_PERSONA, role, system=NEUTRAL_PERSONA),
    ]
    if addition is None:
        return prompts
    return [
        *prompts,
        Condition(ConditionKind.ADD, role, patches=(addition,)),
        Condition(ConditionKind.BOTH, role, patches=(addition,), system=persona),
    ]


def random_ablations(vectors: RoleVectors, plan: TestPlan) -> list[Condition]:
    """Conditions beside the ablations: each ablates a random direction from all tokens but the
    first.

    What an ablation does is a matter of where its direction points alone, so that all roles share
    them.

    Examples:
        >>> from role_lens.experiments import TestPlan, random_ablations
        >>> [one.detail for one in random_ablations(vectors, TestPlan(n_random_ablations=20))][:2]
        ['0', '1']
    """
    directions = random_directions(vectors.d_model, plan.n_random_ablations, seed=plan.seed)
    return [
        Condition(
            ConditionKind.RANDOM_ABLATE,
            detail=str(number),
            patches=(Patch.ablate(direction, tokens="not_first"),),
        )
        for number, direction in enumerate(directions)
    ]


def unguarded_condition(vectors: RoleVectors, choice: Choice, unguarded: Choice) -> list[Condition]:
    """The condition that adds what would have been chosen without the guards; none if it is what
    was chosen."""
    if unguarded.spec == choice.spec:
        return []
    patches = (unguarded.patch(vectors),)
    return [Condition(ConditionKind.ADD_UNGUARDED, choice.role, patches=patches)]


def other_conditions(
    vectors: RoleVectors,
    choice: Choice,
    shuffled: Float[Tensor, "n d_model"],
    plan: TestPlan,
    *,
    persona: int | None,
) -> list[Condition]:
    """Conditions that are not tested, all of one role in its own domain.

    They are directions from shuffled labels and those of some other roles, both as long as the
    role's own, other phrasings of the persona prompt, and the chosen one without a role. The
    directions were not chosen for anything.
    """
    others = vectors.directions(choice.spec.contrast)[
        :, vectors.positions.index(choice.spec.position), choice.spec.layer
    ]
    named = {r: d for r, d in zip(vectors.roles, others, strict=True) if r != choice.role}
    drawn = random.Random(plan.seed).sample(sorted(named), min(plan.n_other, len(named)))
    named = {role: named[role] for role in named if role in drawn}
    personas = []
    if persona is not None:
        phrasings = dict(enumerate(persona_prompts(choice.role)))
        del phrasings[persona]
        personas = [
            Condition(ConditionKind.PHRASING, choice.role, str(number), system=text)
            for number, text in list(phrasings.items())[: plan.n_phrasings]
        ]
        neutral = persona_prompts("person")[persona]
        personas.append(Condition(ConditionKind.NEUTRAL_PERSONA, choice.role, system=neutral))
    return [
        *personas,
        *_several(
            ConditionKind.SHUFFLED, vectors, choice, {str(i): d for i, d in enumerate(shuffled)}
        ),
        *_several(ConditionKind.OTHER, vectors, choice, named),
    ]


def _several(
    kind: ConditionKind, vectors: RoleVectors, choice: Choice, directions: Mapping[str, Tensor]
) -> list[Condition]:
    patch = choice.patch(vectors)
    size = patch.direction.norm()
    return [
        Condition(kind, choice.role, detail, (_like(patch, unit(direction) * size),))
        for detail, direction in directions.items()
        if bool(direction.abs().amax() > 0)  # where there is one: not zero or NaN
    ]


def _like(patch: Patch, direction: Float[Tensor, " d_model"]) -> Patch:
    """The same addition with another direction."""
    return Patch.add(
        direction,
        layer=dict(zip(patch.layers, patch.weights, strict=True)),
        coefficient=patch.value,
        tokens=patch.tokens,
        fingerprint=patch.fingerprint,
    )


def _parts(
    vectors: RoleVectors, choice: Choice, raw: Float[Tensor, " d_model"]
) -> dict[str, Float[Tensor, " d_model"]]:
    """Shared and specific part; none where either is nothing but rounding, or without means."""
    if "base" not in vectors.contrasts:
        return {}
    where = (slice(None), vectors.positions.index(choice.spec.position), choice.spec.layer)
    # Of contrast `base` whatever was chosen: with contrast `roles` the mean is about zero.
    directions = vectors.directions("base")[where]
    mean = einops.reduce(directions, "role d_model -> d_model", "mean")
    if float(mean.norm()) <= _ROUNDING * float(directions.norm(dim=-1).mean()):
        return {}
    shared, specific = shared_and_specific(raw, mean)
    if min(float(shared.norm()), float(specific.norm())) <= _ROUNDING * float(raw.norm()):
        return {}
    return {"shared": shared, "specific": specific}
