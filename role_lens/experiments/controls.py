"""What a role direction is compared with: rotated and shuffled directions, its shared and its own
part, and the role as a prompt.

Knows role vectors and role names, neither models nor questions.
"""

from dataclasses import replace

import einops
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.directions import unit
from role_lens.vectors import RoleVectors

# The kinds of phrasing that Zheng et al. 2024 (arXiv 2311.10054) tried: who the model is, whom it
# talks to, and an imagined scene; "You are a <role>." first.
_PHRASINGS = (
    "You are {a_role}.",
    "Answer the way {a_role} would.",
    "Think of yourself as {a_role} with years of practice.",
    "You are talking with {a_role}.",
    "Imagine that {a_role} has put this question to you.",
    "Picture {a_role} at work, and give the answer that you would hear from them.",
)
NEUTRAL_PERSONA = "You are a person."
_SOUNDS_LIKE_YOU = ("uni", "use", "usu", "uti", "eu", "one", "ukulele")
_SILENT_H = ("heir", "honest", "honor", "honour", "hour")


def rotated(vectors: RoleVectors, *, seed: int = 0) -> RoleVectors:
    """The same vectors after one random rotation about the base mean, uniform among all: every
    direction is a random one, of the same length and at the same angles to all others.

    Its provenance is that of the vectors it was made from.
    """
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn((vectors.d_model,) * 2, generator=generator))
    rotation = q * torch.diagonal(r).sign()  # else not uniform (Mezzadri 2007)
    turned = einops.einsum(
        vectors.role_means - vectors.base_mean,
        rotation,
        "role position layer d_in, d_out d_in -> role position layer d_out",
    )
    return replace(vectors, role_means=vectors.base_mean + turned)


def shuffled_directions(
    role: Float[Tensor, "role_prompt d_model"],
    base: Float[Tensor, "base_prompt d_model"],
    n: int,
    *,
    seed: int = 0,
) -> Float[Tensor, "n d_model"]:
    """Differences of means after the labels of role and base prompts were shuffled; the numbers of
    each kept, raw size."""
    both = torch.cat([role, base]).double()
    generator = torch.Generator().manual_seed(seed)
    directions = []
    for _ in range(n):
        mixed = both[torch.randperm(len(both), generator=generator)]
        directions.append(mixed[: len(role)].mean(dim=0) - mixed[len(role) :].mean(dim=0))
    return torch.stack(directions).float()


def shared_and_specific(
    direction: Float[Tensor, " d_model"], shared: Float[Tensor, " d_model"]
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    """A direction's component along the shared one (the mean of all roles' directions, of contrast
    `base`), and the rest.

    Raises:
        RoleLensError: the shared direction is zero.
    """
    along = unit(shared)
    part = einops.einsum(direction, along, "d_model, d_model ->") * along
    return part, direction - part


def persona_prompts(role: str) -> list[str]:
    """System messages that ask for a role in words; "You are a <role>." first."""
    name = role.lower()
    vowel = name[0] in "aeiou" and not name.startswith(_SOUNDS_LIKE_YOU)
    vowel = vowel or name.startswith(_SILENT_H)
    return [phrasing.format(a_role=f"{'an' if vowel else 'a'} {role}") for phrasing in _PHRASINGS]
