"""Role vectors: mean activations per role, from which directions and patches are made.

    vectors = RoleVectors.fit(model, load_roles("builtin"), load_prompts("builtin"))
    patch = vectors.add("economist", layer=15)
    vectors.save("roles.safetensors")

Means are kept, not only differences, so that the contrast can be chosen afterwards.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import einops
import torch
from jaxtyping import Float, Int
from torch import Tensor

from role_lens import vector_file
from role_lens._run.fingerprint import check_fingerprint, same_fingerprint
from role_lens.compute import Compute
from role_lens.direction_spec import DirectionSpec
from role_lens.directions import MEAN_CONTRASTS, difference_of_means, unit
from role_lens.errors import RoleLensError
from role_lens.finders._finder import FitPrompts
from role_lens.finders._fit import fit_means, prompts_hash
from role_lens.models import Model
from role_lens.patches.kind import KINDS
from role_lens.patches.patch import Patch
from role_lens.patches.token_masks import TokenMask
from role_lens.prompts import role_name


@dataclass(frozen=True, eq=False, repr=False)
class RoleVectors:
    """Mean residual stream of role prompts and base prompts, and what is made from them.

    Layer l means the residual stream entering block l (`blocks.l.hook_resid_pre`). Positions are
    negative, from the end of the formatted prompt. Directions are role minus contrast, in the
    units of the residual stream (arXiv 2502.12055, section 3).

    Example:
        >>> vectors.roles, vectors.positions, vectors.contrasts
        (('poet', 'cook'), (-2, -1), ('base', 'roles'))
        >>> vectors.direction("poet", layer=1).shape
        torch.Size([32])
    """

    roles: tuple[str, ...]
    positions: tuple[int, ...]
    role_means: Float[Tensor, "role position layer d_model"]
    base_mean: Float[Tensor, "position layer d_model"]
    role_counts: Int[Tensor, " role"]
    base_count: int
    found: Mapping[str, Float[Tensor, "role position layer d_model"]]
    """Raw directions by contrast, of contrasts that are not differences of means."""
    separation: Mapping[str, Float[Tensor, "role position layer"]]
    """Held-out d' by contrast, in standard deviations: how far apart projections on a direction
    are that the other half of the prompts gave, of the role's prompts and of the base prompts (for
    contrast `roles` the other roles'). NaN where a half has too few prompts."""
    provenance: Mapping[str, Any]
    prompts: FitPrompts | None = None
    """What the vectors were fitted on, where that is known; it is not in the file."""

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
        finder: str = "difference_of_means",
        positions: Sequence[int] | None = None,
        system: str | None = None,
        compute: Compute = Compute(),
    ) -> "RoleVectors":
        """Fit role vectors: mean activations at every layer and post-instruction position.

        The prompts are taken in two halves: the second half's projections on the first half's
        directions give the separation, and both halves together the means. The differences of
        means need one pass over all prompts; other finders say what they need.

        Args:
            roles: role name -> its prompts.
            base: contrast prompts.
            finder: how directions are found, one of `role_lens.finders`; the differences of means
                are there in any case.
            positions: token positions from the end, negative; None for all tokens of the chat
                template after the instruction.
            system: system message put before every prompt; None for the template's own default.
            compute: batches and progress.

        Raises:
            RoleLensError: no roles, an empty prompt list, an empty prompt or one longer than the
                context, positions out of range, an unknown finder, NaN or infinite activations.

        Example:
            >>> RoleVectors.fit(model, {"poet": ["Rhyme?", "Ode!"]}, ["Tea?"], positions=[-1])
            RoleVectors(1 role: poet; positions [-1]; 3 layers; d_model 32; of tiny-llama)
        """
        fitted = fit_means(
            model,
            FitPrompts(roles, base),
            finder=finder,
            positions=positions,
            system=system,
            compute=compute,
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

    @property
    def contrasts(self) -> tuple[str, ...]:
        """The contrasts that there are: `base`, `roles` if there are several roles, and those of
        other finders."""
        of_means = MEAN_CONTRASTS if len(self.roles) > 1 else MEAN_CONTRASTS[:1]
        return (*of_means, *self.found)

    def directions(self, contrast: str = "base") -> Float[Tensor, "role position layer d_model"]:
        """All raw directions of a contrast; roles in the order of `roles`.

        Raises:
            RoleLensError: an unknown contrast, or `"roles"` with a single role.

        Example:
            >>> vectors.directions("roles").shape   # role, position, layer, d_model
            torch.Size([2, 2, 3, 32])
        """
        self._check_contrast(contrast)
        if contrast in self.found:
            return self.found[contrast]
        return difference_of_means(self.role_means, self.base_mean, contrast)

    def direction(
        self, role: str, *, layer: int, position: int = -1, contrast: str = "base"
    ) -> Float[Tensor, " d_model"]:
        """One raw direction (not normalised), role minus contrast, in the stream's units.

        Raises:
            RoleLensError: an unknown role or contrast, a layer or position out of range.

        Example:
            >>> one = vectors.direction("poet", layer=2, position=-1, contrast="roles")
            >>> torch.equal(one, vectors.directions("roles")[0, -1, 2])
            True
        """
        index = self.role_index(role)
        self._check_contrast(contrast)
        if isinstance(layer, bool) or not 0 <= layer < self.n_layers:
            raise RoleLensError(
                f"layer {layer} is out of range: the vectors have layers 0 to {self.n_layers - 1}"
            )
        if position not in self.positions:
            raise RoleLensError(
                f"position {position} is out of range: the vectors have {list(self.positions)}"
            )
        place = self.positions.index(position)
        if contrast in self.found:
            return self.found[contrast][index, place, layer]
        means, base = self.role_means[:, place, layer], self.base_mean[place, layer]
        return difference_of_means(means, base, contrast)[index]

    def patch(
        self,
        kind: str,
        spec: DirectionSpec,
        *,
        value: float | None = None,
        tokens: TokenMask = "all",
    ) -> Patch:
        """A patch of any kind with one of the directions, which acts at the direction's own layer,
        or everywhere for a kind that does.

        Args:
            kind: `add`, `ablate`, `clamp`, `cap`, or another file in `role_lens.patches.kinds`.
            value: for kinds that set a projection: which, in the stream's units; None for the
                coefficient times the mean projection of the role's prompts.

        Raises:
            RoleLensError: all that `direction` raises, a zero direction, a number that the kind
                lacks or doesn't take.

        Example:
            >>> vectors.patch("add", DirectionSpec("poet", layer=1, coefficient=2.5)).value
            2.5
        """
        takes = KINDS[kind].number
        direction = self.direction(
            spec.role, layer=spec.layer, position=spec.position, contrast=spec.contrast
        )
        if value is not None and takes != "value":
            raise RoleLensError(f"{kind} takes no value, got {value}")
        if takes is not None and value is None and spec.coefficient is None:
            raise RoleLensError(f"{kind} needs a coefficient")
        number = 0.0
        if takes == "coefficient":
            number = float(spec.coefficient or 0.0)
        elif takes == "value":
            number = value if value is not None else self._mean_projection(spec, direction)
        return Patch.of(
            kind,
            direction,
            layer=spec.layer,
            value=number,
            tokens=tokens,
            fingerprint=self._fingerprint,
        )

    def add(
        self,
        role: str,
        *,
        layer: int,
        position: int = -1,
        coefficient: float = 1.0,
        contrast: str = "base",
        tokens: TokenMask = "all",
    ) -> Patch:
        """Activation addition of coefficient times the raw direction at its own layer.

        Raises:
            RoleLensError: as `patch`.

        Example:
            >>> vectors.add("poet", layer=1, coefficient=2.0).layers
            (1,)
        """
        spec = DirectionSpec(role, layer, position, contrast, coefficient)
        return self.patch("add", spec, tokens=tokens)

    def ablate(
        self,
        role: str,
        *,
        layer: int,
        position: int = -1,
        contrast: str = "base",
        tokens: TokenMask = "all",
    ) -> Patch:
        """Ablation, at all layers, of the direction that was read at one layer and position.

        Raises:
            RoleLensError: as `patch`.

        Example:
            >>> vectors.ablate("poet", layer=1)
            Patch(ablate, tokens all, |d| 1)
        """
        spec = DirectionSpec(role, layer, position, contrast, None)
        return self.patch("ablate", spec, tokens=tokens)

    def clamp(
        self,
        role: str,
        *,
        layer: int,
        value: float | None = None,
        position: int = -1,
        contrast: str = "base",
        tokens: TokenMask = "all",
    ) -> Patch:
        """Set the projection on the unit direction, at its own layer, to `value`: by default to
        the role prompts' mean projection.

        Raises:
            RoleLensError: as `patch`.

        Example:
            >>> vectors.clamp("poet", layer=1, value=3.0).value
            3.0
        """
        spec = DirectionSpec(role, layer, position, contrast)
        return self.patch("clamp", spec, value=value, tokens=tokens)

    def cap(
        self,
        role: str,
        *,
        layer: int,
        value: float | None = None,
        position: int = -1,
        contrast: str = "base",
        tokens: TokenMask = "all",
    ) -> Patch:
        """Limit the projection on the unit direction, at its own layer, to at most `value`: by
        default to the role prompts' mean projection.

        Raises:
            RoleLensError: as `patch`.

        Example:
            >>> vectors.cap("poet", layer=1, value=3.0).kind
            'cap'
        """
        spec = DirectionSpec(role, layer, position, contrast)
        return self.patch("cap", spec, value=value, tokens=tokens)

    def check(self, model: Model) -> None:
        """Raise a RoleLensError if the vectors are from another model, saying what differs."""
        check_fingerprint(self._fingerprint, model)

    def with_prompts(
        self, roles: Mapping[str, Sequence[str]], base: Sequence[str]
    ) -> "RoleVectors":
        """The same vectors with the prompts that they were fitted on, which some controls need and
        which their file doesn't hold.

        Raises:
            RoleLensError: they were fitted on others, or are merged, so that nobody can tell.

        Example:
            >>> vectors.with_prompts(roles, base).prompts.base == list(base)
            True
        """
        if self.provenance.get("merged_with"):
            raise RoleLensError("the prompts of merged vectors can't be told: use those of one fit")
        named = {role_name(role): list(some) for role, some in roles.items()}
        hashes = {
            "role_prompts_sha256": prompts_hash(named),
            "base_prompts_sha256": prompts_hash(list(base)),
        }
        for key, value in hashes.items():
            if self.provenance[key] != value:
                raise RoleLensError(f"the vectors were fitted on other prompts ({key} differs)")
        return replace(self, prompts=FitPrompts(named, list(base)))

    def role_index(self, role: str) -> int:
        """Index of a role in `roles`; case and underscores don't matter.

        Raises:
            RoleLensError: naming the nearest roles, if there is none of that name.

        Example:
            >>> vectors.role_index("Cook")
            1
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
        unknown then, and empty.

        Raises:
            RoleLensError: the two are from different models, positions or prompt formats, or have
                directions that are not differences of means.

        Example:
            >>> vectors.merge(vectors).role_counts.tolist()
            [6, 6]
        """
        self._check_mergeable(other)
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
            found={},
            separation={},
            provenance={
                **self.provenance,
                "base_prompts_sha256": base if same_base else None,
                "merged_with": [*self.provenance.get("merged_with", ()), dict(other.provenance)],
            },
        )

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with the provenance as JSON; whole or not at all.

        Raises:
            RoleLensError: the file can't be written.

        Example:
            >>> vectors.save(folder / "roles.safetensors")
            >>> RoleVectors.load(folder / "roles.safetensors").roles
            ('poet', 'cook')
        """
        vector_file.write_vectors(path, vars(self))

    @classmethod
    def load(cls, path: str | Path) -> "RoleVectors":
        """Read what `save` wrote.

        Raises:
            RoleLensError: the file is missing, truncated, or not one of this package's.
        """
        return cls(**vector_file.read_vectors(path))

    @property
    def _fingerprint(self) -> tuple[float, ...]:
        return tuple(self.provenance["fingerprint"])

    def _check_contrast(self, contrast: str) -> None:
        if contrast == "roles" and len(self.roles) < 2:
            raise RoleLensError(
                "contrast 'roles' needs at least two roles: of one there is 'base' only"
            )
        if contrast not in self.contrasts:
            raise RoleLensError(
                f"unknown contrast {contrast!r}: the vectors have {', '.join(self.contrasts)}"
            )

    def _check_mergeable(self, other: "RoleVectors") -> None:
        if not same_fingerprint(self._fingerprint, other._fingerprint):
            raise RoleLensError("can't merge: the two are from models with different weights")
        for key in ("suffix", "system", "chat_template_sha256"):
            if self.provenance[key] != other.provenance[key]:
                raise RoleLensError(f"can't merge: the two differ in {key}")
        if self.positions != other.positions:
            raise RoleLensError(f"can't merge: positions {self.positions} and {other.positions}")
        if found := {*self.found, *other.found}:
            raise RoleLensError(
                f"can't merge: {', '.join(sorted(found))} are not differences of means; fit all "
                "prompts at once"
            )

    def _mean_projection(self, spec: DirectionSpec, direction: Float[Tensor, " d_model"]) -> float:
        """The coefficient times the mean projection of the role's prompts on the unit direction."""
        place = self.positions.index(spec.position)
        mean = self.role_means[self.role_index(spec.role), place, spec.layer]
        projection = float(einops.einsum(mean, unit(direction), "d_model, d_model ->"))
        return (1.0 if spec.coefficient is None else spec.coefficient) * projection


def _weighted_mean(means: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    weights = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return einops.einsum(torch.stack(list(means)).double(), weights, "fit ..., fit -> ...").float()
