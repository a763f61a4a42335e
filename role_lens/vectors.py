"""RoleVectors: mean activations per role, from which directions and patches are made.

Means are kept, not differences, so that the contrast can be chosen afterwards.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import einops
import torch
from jaxtyping import Float, Int
from torch import Tensor

from role_lens._run.fingerprint import check_fingerprint, same_fingerprint
from role_lens.directions import Contrast, difference_of_means, unit
from role_lens.errors import RoleLensError
from role_lens.finders._fit import fit_means
from role_lens.models import Model
from role_lens.patches.patch import Patch
from role_lens.patches.token_masks import TokenMask
from role_lens.prompts import role_name
from role_lens.vector_file import HEADER, TENSORS, read_vectors, write_vectors


@dataclass(frozen=True, eq=False, repr=False)
class RoleVectors:
    """Mean residual stream of role prompts and base prompts, and what is made from them.

    Layer l means the residual stream entering block l (`blocks.l.hook_resid_pre`). Positions are
    negative, from the end of the formatted prompt. Directions are role minus contrast, in the
    units of the residual stream (arXiv 2502.12055, section 3).
    """

    roles: tuple[str, ...]
    positions: tuple[int, ...]
    role_means: Float[Tensor, "role position layer d_model"]
    base_mean: Float[Tensor, "position layer d_model"]
    role_counts: Int[Tensor, " role"]
    base_count: int
    separation: Float[Tensor, "contrast role position layer"]
    """Held-out d' of role prompts against base prompts (contrast 0) and against the other roles'
    prompts (contrast 1), along directions from the other half of the prompts; NaN where a half
    has too few prompts."""
    provenance: Mapping[str, Any]

    def __repr__(self) -> str:
        n, names = len(self.roles), ", ".join(self.roles[:3])
        return (
            f"RoleVectors({n} role{'s' * (n > 1)}: {names}{', …' * (n > 3)}; positions "
            f"{list(self.positions)}; {self.n_layers} layers; d_model {self.d_model}; of "
            f"{self.provenance.get('model')})"
        )

    @classmethod
    def fit(
        cls,
        model: Model,
        roles: Mapping[str, Sequence[str]],
        base: Sequence[str],
        *,
        positions: Sequence[int] | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        progress: bool = True,
    ) -> "RoleVectors":
        """Mean activations at every layer and every post-instruction position, in one pass.

        The prompts are taken in two halves: the second half's projections on the first half's
        directions give the separation, and both halves together the means.

        Args:
            roles: role name -> its prompts.
            base: contrast prompts.
            positions: token positions from the end, negative; None for all tokens of the chat
                template after the instruction.
            system: system message put before every prompt; None for the template's own default.
            max_tokens: most tokens in a batch, padding included; None for a number that suits
                the memory at hand.
            progress: show a progress bar.

        Raises:
            RoleLensError: no roles, an empty prompt list, an empty prompt or one longer than the
                context, positions out of range, NaN or infinite activations.
        """
        fitted = fit_means(
            model,
            roles,
            base,
            positions=positions,
            system=system,
            max_tokens=max_tokens,
            progress=progress,
        )
        return cls(**vars(fitted))

    @property
    def n_layers(self) -> int:
        """Number of layers (blocks) of the model."""
        return self.base_mean.shape[1]

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.base_mean.shape[2]

    def directions(
        self, contrast: Contrast = "base"
    ) -> Float[Tensor, "role position layer d_model"]:
        """All raw directions, role minus contrast; roles in the order of `roles`.

        Raises:
            RoleLensError: an unknown contrast, or `"roles"` with a single role.
        """
        return difference_of_means(self.role_means, self.base_mean, contrast)

    def direction(
        self, role: str, *, layer: int, position: int = -1, contrast: Contrast = "base"
    ) -> Float[Tensor, " d_model"]:
        """One raw direction (not normalised), role minus contrast.

        Raises:
            RoleLensError: an unknown role or contrast, a layer or position out of range.
        """
        index = self.role_index(role)
        if isinstance(layer, bool) or not 0 <= layer < self.n_layers:
            raise RoleLensError(
                f"layer {layer} is out of range: the vectors have layers 0 to {self.n_layers - 1}"
            )
        if position not in self.positions:
            raise RoleLensError(
                f"position {position} is out of range: the vectors have {list(self.positions)}"
            )
        where = (slice(None), self.positions.index(position), layer)
        return difference_of_means(self.role_means[where], self.base_mean[where[1:]], contrast)[
            index
        ]

    def add(
        self,
        role: str,
        *,
        layer: int,
        position: int = -1,
        coefficient: float = 1.0,
        contrast: Contrast = "base",
        tokens: TokenMask = "all",
    ) -> Patch:
        """Activation addition of coefficient times the raw direction at its own layer."""
        direction = self.direction(role, layer=layer, position=position, contrast=contrast)
        return Patch.add(
            direction,
            layer=layer,
            coefficient=coefficient,
            tokens=tokens,
            fingerprint=self._fingerprint,
        )

    def ablate(
        self,
        role: str,
        *,
        layer: int,
        position: int = -1,
        contrast: Contrast = "base",
        tokens: TokenMask = "all",
    ) -> Patch:
        """Ablation, at all layers, of the direction that was read at one layer and position."""
        direction = self.direction(role, layer=layer, position=position, contrast=contrast)
        return Patch.ablate(direction, tokens=tokens, fingerprint=self._fingerprint)

    def clamp(
        self,
        role: str,
        *,
        layer: int,
        value: float | None = None,
        position: int = -1,
        contrast: Contrast = "base",
        tokens: TokenMask = "all",
    ) -> Patch:
        """Set the projection on the unit direction, at its own layer, to `value`: by default to
        the role prompts' mean projection."""
        return self._bounded(Patch.clamp, role, layer, value, position, contrast, tokens)

    def cap(
        self,
        role: str,
        *,
        layer: int,
        value: float | None = None,
        position: int = -1,
        contrast: Contrast = "base",
        tokens: TokenMask = "all",
    ) -> Patch:
        """Limit the projection on the unit direction, at its own layer, to at most `value`: by
        default to the role prompts' mean projection."""
        return self._bounded(Patch.cap, role, layer, value, position, contrast, tokens)

    def check(self, model: Model) -> None:
        """Raise a RoleLensError if the vectors are from another model, saying what differs."""
        check_fingerprint(self._fingerprint, model)

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The contrasts that there are: of a single role only `base`."""
        return ("base", "roles") if len(self.roles) > 1 else ("base",)

    def role_index(self, role: str) -> int:
        """Index of a role in `roles`; case and underscores don't matter.

        Raises:
            RoleLensError: naming the nearest roles, if there is none of that name.
        """
        name = role_name(role)
        if name not in self.roles:
            near = difflib.get_close_matches(name, self.roles, n=3, cutoff=0.4)
            hint = f"did you mean {', '.join(map(repr, near))}?" if near else ""
            raise RoleLensError(
                f"unknown role {role!r}: {hint or 'the vectors have ' + ', '.join(self.roles)}"
            )
        return self.roles.index(name)

    def merge(self, other: "RoleVectors") -> "RoleVectors":
        """Vectors as if both sets of prompts had been fitted at once (roles of either).

        The same list of base prompts counts once; two are pooled, which changes all directions of
        contrast `base`, and pooled ones are a list of their own: merge those with the same list
        first. A role in both is taken to have other prompts in each. The separation is
        unknown then, and NaN.

        Raises:
            RoleLensError: the two are from different models, positions or prompt formats.
        """
        if not same_fingerprint(self._fingerprint, other._fingerprint):
            raise RoleLensError("can't merge: the two are from models with different weights")
        for key in ("suffix", "system", "chat_template_sha256"):
            if self.provenance[key] != other.provenance[key]:
                raise RoleLensError(f"can't merge: the two differ in {key}")
        if self.positions != other.positions:
            raise RoleLensError(f"can't merge: positions {self.positions} and {other.positions}")
        base = self.provenance["base_prompts_sha256"]
        same_base = base is not None and base == other.provenance["base_prompts_sha256"]
        roles = tuple(dict.fromkeys(self.roles + other.roles))
        counts, means = [], []
        for role in roles:
            parts = [v for v in (self, other) if role in v.roles]
            count = [int(v.role_counts[v.roles.index(role)]) for v in parts]
            mean = [v.role_means[v.roles.index(role)] for v in parts]
            counts.append(sum(count))
            means.append(_weighted_mean(mean, count))
        n_base = [self.base_count, 0 if same_base else other.base_count]
        return RoleVectors(
            roles=roles,
            positions=self.positions,
            role_means=torch.stack(means),
            base_mean=_weighted_mean([self.base_mean, other.base_mean], n_base),
            role_counts=torch.tensor(counts),
            base_count=sum(n_base),
            separation=torch.full(
                (2, len(roles), len(self.positions), self.n_layers), float("nan")
            ),
            provenance={
                **self.provenance,
                "base_prompts_sha256": base if same_base else None,
                "merged_with": [*self.provenance.get("merged_with", ()), dict(other.provenance)],
            },
        )

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with the provenance as JSON; whole or not at all."""
        tensors = {name: getattr(self, name) for name in TENSORS}
        write_vectors(path, tensors, {name: getattr(self, name) for name in HEADER})

    @classmethod
    def load(cls, path: str | Path) -> "RoleVectors":
        """Read what `save` wrote.

        Raises:
            RoleLensError: the file is missing, truncated, or not one of this package's.
        """
        tensors, header = read_vectors(path)
        return cls(
            roles=tuple(header["roles"]),
            positions=tuple(header["positions"]),
            base_count=header["base_count"],
            provenance=header["provenance"],
            **tensors,
        )

    @property
    def _fingerprint(self) -> tuple[float, ...]:
        return tuple(self.provenance["fingerprint"])

    def _bounded(
        self,
        make: Any,
        role: str,
        layer: int,
        value: float | None,
        position: int,
        contrast: Contrast,
        tokens: TokenMask,
    ) -> Patch:
        direction = self.direction(role, layer=layer, position=position, contrast=contrast)
        if value is None:
            mean = self.role_means[self.role_index(role), self.positions.index(position), layer]
            value = float(einops.einsum(mean, unit(direction), "d_model, d_model ->"))
        return make(
            direction, layer=layer, value=value, tokens=tokens, fingerprint=self._fingerprint
        )


def _weighted_mean(means: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    weights = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return einops.einsum(torch.stack(list(means)).double(), weights, "fit ..., fit -> ...").float()
