"""What is done to the model to judge a role vector: the vector, its parts, and the controls.

Knows role vectors and choices, neither models nor questions.
"""

from dataclasses import dataclass

import einops
from jaxtyping import Float
from torch import Tensor

from role_lens.directions import unit
from role_lens.evaluation.controls import persona_prompts, random_directions, shared_and_specific
from role_lens.evaluation.selection import Choice
from role_lens.patches import Patch
from role_lens.role_vectors import RoleVectors


@dataclass(frozen=True, eq=False)
class Condition:
    """One way of asking all questions."""

    kind: str
    """`none` (the baseline); one condition per role: `persona, add, ablate, shared,
    shared_matched, specific, specific_matched`; several: `phrasing, random, shuffled, other`."""
    role: str | None = None
    detail: str | None = None
    """Which of several: the number of a phrasing or direction, or another role."""
    patches: tuple[Patch, ...] = ()
    system: str | None = None
    """System message in the place of the usual one; None for the usual one."""


def baseline() -> Condition:
    """The unchanged model."""
    return Condition("none")


def judged_conditions(
    vectors: RoleVectors, choice: Choice, *, ask_persona: bool
) -> list[Condition]:
    """What is tested: persona prompt, addition, ablation, shared and specific part."""
    role = choice.role
    patch = choice.addition(vectors)
    raw = patch.direction
    conditions = [
        Condition("add", role, patches=(patch,)),
        Condition("ablate", role, patches=(Patch.ablate(raw, fingerprint=patch.fingerprint),)),
    ]
    if ask_persona:
        conditions.append(Condition("persona", role, system=persona_prompts(role)[0]))
    if len(vectors.roles) > 1:  # else all of it is shared
        parts = zip(
            ("shared", "specific"),
            shared_and_specific(raw, _shared(vectors, choice)),
            strict=True,
        )
        for kind, part in parts:
            matched = unit(part) * raw.norm()
            conditions.append(Condition(kind, role, patches=(_like(patch, part),)))
            conditions.append(Condition(f"{kind}_matched", role, patches=(_like(patch, matched),)))
    return conditions


def random_conditions(vectors: RoleVectors, choice: Choice, n: int, seed: int) -> list[Condition]:
    """The null band: random directions, as long as the role's."""
    # Other ones for each role.
    own_seed = seed * len(vectors.roles) + vectors.role_index(choice.role)
    directions = random_directions(vectors.d_model, n, seed=own_seed)
    return _several("random", vectors, choice, {str(i): d for i, d in enumerate(directions)})


def other_conditions(
    vectors: RoleVectors,
    choice: Choice,
    shuffled: Float[Tensor, "n d_model"],
    *,
    ask_persona: bool,
) -> list[Condition]:
    """Directions from shuffled labels and those of the other roles, both as long as the role's
    own, and the other phrasings of the persona prompt."""
    others = vectors.directions(choice.contrast)[
        :, vectors.positions.index(choice.position), choice.layer
    ]
    named = {r: d for r, d in zip(vectors.roles, others, strict=True) if r != choice.role}
    phrasings = persona_prompts(choice.role)[1:] if ask_persona else []
    return [
        *(
            Condition("phrasing", choice.role, str(number), system=text)
            for number, text in enumerate(phrasings)
        ),
        *_several("shuffled", vectors, choice, {str(i): d for i, d in enumerate(shuffled)}),
        *_several("other", vectors, choice, named),
    ]


def _several(
    kind: str, vectors: RoleVectors, choice: Choice, directions: dict[str, Tensor]
) -> list[Condition]:
    patch = choice.addition(vectors)
    size = patch.direction.norm()
    return [
        Condition(kind, choice.role, detail, (_like(patch, unit(direction) * size),))
        for detail, direction in directions.items()
    ]


def _like(patch: Patch, direction: Float[Tensor, " d_model"]) -> Patch:
    """The same addition with another direction."""
    return Patch.add(
        direction,
        layer=patch.layers,
        coefficient=patch.value,
        tokens=patch.tokens,
        fingerprint=patch.fingerprint,
    )


def _shared(vectors: RoleVectors, choice: Choice) -> Float[Tensor, " d_model"]:
    """Mean of all roles' directions of contrast `base`, there where the choice was read; with
    contrast `roles` it would be about zero."""
    where = (slice(None), vectors.positions.index(choice.position), choice.layer)
    return einops.reduce(vectors.directions("base")[where], "role d_model -> d_model", "mean")
