"""Holds role vectors: mean activations per role, from which directions and patches are made.

    vectors = RoleVectors.fit(model, load_roles("builtin"), load_prompts("builtin"))
    patch = vectors.add("economist", layer=15)
    vectors.save("roles.safetensors")

Means are kept, not only their differences, so that the contrast can be chosen afterwards.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import einops
import torch
from jaxtyping import Float, Int
from torch import Tensor

from role_lens import vector_file
from role_lens._run.fingerprint import check_fingerprint, same_fingerprint
from role_lens.chat import TEMPLATE_KEYS
from role_lens.checks import real_number, string, whole_number
from role_lens.compute import Compute
from role_lens.direction_spec import DirectionSpec
from role_lens.directions import MEAN_CONTRASTS, difference_of_means, unit
from role_lens.errors import RoleLensError, warn
from role_lens.finders._finder import Finder, FitPrompts
from role_lens.finders._fit import fit_means, named_prompts, prompts_hash
from role_lens.loading.hub_files import VECTORS_FILE, at_hand
from role_lens.models import Model
from role_lens.patches.kind import KINDS
from role_lens.patches.patch import Patch
from role_lens.patches.token_masks import TokenMask
from role_lens.prompts import role_name
from role_lens.schedule import ONE, layer_weights
from role_lens.values import shown

FEW_ROLES = 8
"""With fewer roles, contrast `roles` is mostly what these few have in common by construction."""


_told_of_few: "WeakSet[RoleVectors]" = WeakSet()


@dataclass(frozen=True, eq=False, repr=False)
class RoleVectors:
    """Mean residual streams of role prompts and base prompts, and the directions between them.

    A direction is the role's mean minus the contrast's, in the units of the residual stream (arXiv
    2502.12055, section 3). There is one for each role, layer, position and contrast:

    - layer l is the residual stream entering block l (`blocks.l.hook_resid_pre`), counted from 0;
    - a position is a token of the formatted prompt, counted from its end: -1 is the last;
    - contrast `base` is the base prompts' mean; contrast `roles` the mean of the other roles'
      means, so that what all roles share cancels; other finders have contrasts of their own.

    `fit` measures vectors on a model, `load` reads them from a file.

    Examples:
        >>> vectors.roles, vectors.positions, vectors.contrasts
        (('poet', 'cook'), (-2, -1), ('base', 'roles'))
        >>> vectors.direction("poet", layer=1).shape
        torch.Size([32])
    """

    roles: tuple[str, ...]
    """Role names, lower case, in the order of the tensors' `role` axes."""
    positions: tuple[int, ...]
    """Token positions, negative, in the order of the tensors' `position` axes."""
    role_means: Float[Tensor, "role position layer d_model"]
    """Mean residual stream over each role's prompts, float32."""
    base_mean: Float[Tensor, "position layer d_model"]
    """Mean residual stream over the base prompts, float32."""
    role_counts: Int[Tensor, " role"]
    """Number of prompts of each role."""
    base_count: int
    """Number of base prompts."""
    found: Mapping[str, Float[Tensor, "role position layer d_model"]]
    """Contrast -> raw directions, for contrasts of other finders that are not differences of
    means."""
    separation: Mapping[str, Float[Tensor, "role position layer"]]
    """Contrast -> how well each direction separates prompts that it was not made from: d', in
    standard deviations. Directions of one half of the prompts are taken, and projections of the
    other half on them: those of the role's prompts against those of the base prompts (for contrast
    `roles`, against those of the other roles' prompts). NaN where a direction is zero or a half has
    too few prompts."""
    provenance: Mapping[str, Any]
    """Where the vectors are from, as JSON values: model, a fingerprint of its weights, finder,
    hashes of the prompts and the chat template, versions."""
    prompts: FitPrompts | None = None
    """The prompts that the vectors were fitted on, where they are known; a file doesn't hold
    them."""

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
        finder: str | Finder = "means",
        positions: Sequence[int] | None = None,
        system: str | None = None,
        compute: Compute = Compute(),
    ) -> "RoleVectors":
        """Fit role vectors: mean activations at every layer and at some positions of the prompts.

        Each prompt is formatted as one user turn, up to where the assistant's answer begins. By
        default the positions are all post-instruction tokens: those that the chat template puts
        after the prompt, and that are the same for every prompt.

        One half of the prompts gives directions, and the other half's projections on them give
        `separation`. The means are those of both halves. For differences of means this takes one
        pass over all prompts; other finders say what they need.

        Args:
            roles: role name -> its prompts, such as `load_roles` gives.
            base: base prompts, which the roles are set against, such as `load_prompts` gives.
            finder: how more directions are found: the name of a file in `role_lens.finders`, or its
                record with options, such as `FINDERS["pca"](layers=(12, 15))`. The differences of
                means are there in any case.
            positions: token positions, negative, counted from the end; None for all
                post-instruction tokens.
            system: system message put before every prompt; None for the template's own default.
            compute: batches and progress.

        Raises:
            RoleLensError: no roles, two roles of the same name, an empty list of prompts, a prompt
                that is empty or longer than the context, positions out of range, an unknown finder,
                a model that carries hooks, NaN or infinite activations.

        Examples:
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
        """The contrasts that there are: `base`, `roles` if there are several roles, and other
        finders'."""
        if bool(self.base_mean.isnan().all()):  # imported: there are directions and no means
            return tuple(self.found)
        of_means = MEAN_CONTRASTS if len(self.roles) > 1 else MEAN_CONTRASTS[:1]
        return (*of_means, *self.found)

    def directions(self, contrast: str = "base") -> Float[Tensor, "role position layer d_model"]:
        """All raw directions (not normalised) of a contrast; roles in the order of `roles`.

        Warns:
            UserWarning: contrast `roles` of few roles, whose directions are alike by construction.

        Raises:
            RoleLensError: an unknown contrast, or `"roles"` with a single role.

        Examples:
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
        """One raw direction (not normalised): role minus contrast, in the residual stream's units.

        Raises:
            RoleLensError: an unknown role or contrast, a layer or position out of range.

        Examples:
            >>> one = vectors.direction("poet", layer=2, position=-1, contrast="roles")
            >>> torch.equal(one, vectors.directions("roles")[0, -1, 2])
            True
        """
        index = self.role_index(role)
        self._check_contrast(contrast)
        layer, position = whole_number(layer, "layer"), whole_number(position, "position")
        if not 0 <= layer < self.n_layers:
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
        """Make a patch of any kind from one of the directions.

        It acts on the input of the layer that the direction was read from, or everywhere if its
        kind does, as ablation does.

        Args:
            kind: `add`, `add_normed`, `ablate`, `clamp`, `cap`, `floor`, `rotate`, or another file
                in `role_lens.patches.kinds`.
            spec: which direction, the coefficient, and how it is shared out over layers.
            value: for `clamp`, `cap` and `floor`, the projection on the unit direction that they
                set, don't exceed, or don't fall below, in the residual stream's units; None for the
                coefficient times the mean projection of the role's prompts. For `rotate`, the angle
                in degrees; None for the coefficient times the angle between the mean of the role's
                prompts and the same mean without the direction.
            tokens: which tokens are changed, see `Patch`.

        Raises:
            RoleLensError: an unknown kind, a direction that is zero or that the vectors don't have,
                a value for a kind that takes none, a coefficient of None for a kind that needs
                one, or a schedule for a kind that can't be shared out.

        Examples:
            >>> vectors.patch("add", DirectionSpec("poet", layer=1, coefficient=2.5)).value
            2.5
            >>> vectors.patch("add", DirectionSpec("poet", layer=1, schedule="range:1")).layers
            (0, 1, 2)
        """
        takes = KINDS[kind].number
        direction = self.direction(
            spec.role, layer=spec.layer, position=spec.position, contrast=spec.contrast
        )
        if value is not None and takes not in ("value", "angle"):
            raise RoleLensError(
                f"a patch of kind {kind!r} takes no value, got {value}: leave it out"
            )
        if spec.schedule != ONE and not KINDS[kind].has_strength:
            raise RoleLensError(
                f"a patch of kind {kind!r} can't be shared out over layers: leave the schedule "
                f"out, got {spec.schedule}"
            )
        if takes is not None and value is None and spec.coefficient is None:
            raise RoleLensError(f"a patch of kind {kind!r} needs a coefficient, got None")
        number = 0.0
        if takes == "coefficient":
            number = float(spec.coefficient or 0.0)
        elif value is not None:
            number = real_number(value, "value")
        elif takes == "value":
            number = self._mean_projection(spec, direction)
        elif takes == "angle":
            number = self._mean_angle(spec, direction)
        return Patch.of(
            kind,
            direction,
            layer=layer_weights(spec.schedule, spec.layer, self.n_layers),
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
        """Make a patch that adds coefficient times the raw direction at the direction's own layer.

        Raises:
            RoleLensError: as `patch`.

        Examples:
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
        """Make a patch that removes, at all layers, the component along a direction.

        `layer` and `position` say where the direction was read.

        Raises:
            RoleLensError: as `patch`.

        Examples:
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
        """Make a patch that sets the projection on the unit direction to `value`, at its own layer.

        Args:
            value: in the residual stream's units; None for the mean projection of the role's
                prompts.

        Raises:
            RoleLensError: as `patch`.

        Examples:
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
        """Make a patch that limits the projection on the unit direction to `value`, at its own
        layer.

        Args:
            value: in the residual stream's units; None for the mean projection of the role's
                prompts.

        Raises:
            RoleLensError: as `patch`.

        Examples:
            >>> vectors.cap("poet", layer=1, value=3.0).kind
            'cap'
        """
        spec = DirectionSpec(role, layer, position, contrast)
        return self.patch("cap", spec, value=value, tokens=tokens)

    def check(self, model: Model) -> None:
        """Raise a RoleLensError if the vectors are from another model, saying what differs.

        Examples:
            >>> vectors.check(model)    # says nothing: they are from this model
        """
        check_fingerprint(self._fingerprint, model)

    def with_prompts(
        self, roles: Mapping[str, Sequence[str]], base: Sequence[str]
    ) -> "RoleVectors":
        """The same vectors together with the prompts that they were fitted on.

        A file of vectors doesn't hold the prompts, and some controls need them, such as directions
        from shuffled labels.

        Raises:
            RoleLensError: the vectors were fitted on other prompts, or are merged, so that their
                prompts can't be told.

        Examples:
            >>> vectors.with_prompts(roles, base).prompts.base == list(base)
            True
        """
        if self.provenance.get("merged_with"):
            raise RoleLensError(
                "can't tell the prompts of merged vectors: use the vectors of one fit"
            )
        named, base = named_prompts(roles, base)
        hashes = {
            "role_prompts_sha256": prompts_hash(named),
            "base_prompts_sha256": prompts_hash(base),
        }
        for key, value in hashes.items():
            if self.provenance[key] != value:
                raise RoleLensError(
                    f"the vectors were fitted on other prompts ({key} differs): give theirs"
                )
        return replace(self, prompts=FitPrompts(named, base))

    def role_index(self, role: str) -> int:
        """Index of a role in `roles`. Case doesn't matter, and underscores count as spaces.

        Raises:
            RoleLensError: there is no role of that name; the message names the nearest.

        Examples:
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
        """Merge with other vectors, as if the prompts of both had been fitted at once.

        The result has the roles of both. A role that is in both is taken to have different prompts
        in each. If both were fitted on the same base prompts, these count once. If not, the base
        prompts are pooled, which changes all directions of contrast `base`; the pooled prompts then
        count as a list of their own, so merge vectors with the same base prompts first. The
        result's `separation` is empty, since it can't be told from the means.

        Raises:
            RoleLensError: the two are from different models, positions or prompt formats, or have
                directions that are not differences of means.

        Examples:
            >>> vectors.merge(vectors).role_counts.tolist()    # 3 prompts of each role, twice
            [6, 6]
        """
        check_vectors(other)
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
        """Write a safetensors file, with the provenance as JSON in its header.

        The file is written whole or not at all.

        Raises:
            RoleLensError: the file can't be written.

        Examples:
            >>> vectors.save(folder / "roles.safetensors")
            >>> RoleVectors.load(folder / "roles.safetensors").roles
            ('poet', 'cook')
        """
        vector_file.write_vectors(path, vars(self))

    @classmethod
    def load(cls, path: str | Path) -> "RoleVectors":
        """Read vectors from a file that `save` wrote, here or on the Hugging Face hub.

        Args:
            path: a file, or `hf://user/repo`, `hf://user/repo@revision/file`; `provenance["hub"]`
                then says which commit it was.

        Raises:
            RoleLensError: the file is missing, truncated, or not one of this package's; it isn't
                on the hub, or the hub can't be reached.

        Examples:
            >>> vectors.save(folder / "roles.safetensors")
            >>> RoleVectors.load(folder / "roles.safetensors").d_model
            32
        """
        file = at_hand(path, VECTORS_FILE)
        fields = vector_file.read_vectors(file.path)
        if file.origin is not None:
            fields["provenance"] |= {"hub": file.origin}
        return cls(**fields)

    @property
    def _fingerprint(self) -> tuple[float, ...]:
        return tuple(self.provenance["fingerprint"])

    def _check_contrast(self, contrast: str) -> None:
        string(contrast, "a contrast")
        if contrast == "roles" and len(self.roles) < 2:
            raise RoleLensError(
                "contrast 'roles' needs at least two roles, got 1: take contrast 'base', or "
                "fit more roles"
            )
        few = contrast == "roles" and (n := len(self.roles)) < FEW_ROLES
        if few and self not in _told_of_few:
            _told_of_few.add(self)
            warn(
                f"contrast 'roles' of {n} roles: their directions sum to zero, so that cosines "
                f"between them are {-1 / (n - 1):.2f} on average whatever the roles are, and each "
                f"points away from the others; fit {FEW_ROLES} or more, or take contrast 'base'"
            )
        if contrast not in self.contrasts:
            raise RoleLensError(
                f"unknown contrast {contrast!r}: the vectors have {', '.join(self.contrasts)}"
            )

    def _check_mergeable(self, other: "RoleVectors") -> None:
        if not same_fingerprint(self._fingerprint, other._fingerprint):
            raise RoleLensError("can't merge: the two are from models with different weights")
        for key in ("suffix", "system", "chat_template_sha256", *TEMPLATE_KEYS):
            if self.provenance.get(key) != other.provenance.get(key):
                raise RoleLensError(
                    f"can't merge: the two differ in {key}, and so in the form of their prompts; "
                    "fit one of them again with the other's model, tokenizer and options"
                )
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

    def _mean_angle(self, spec: DirectionSpec, direction: Float[Tensor, " d_model"]) -> float:
        """The coefficient times the angle, in degrees, between the mean of the role's prompts and
        the same without the direction, which for a difference of means is that of its contrast."""
        place = self.positions.index(spec.position)
        mean = self.role_means[self.role_index(spec.role), place, spec.layer]
        cosine = float(einops.einsum(unit(mean), unit(mean - direction), "d_model, d_model ->"))
        return float(spec.coefficient or 0.0) * math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


def check_vectors(vectors: object) -> None:
    """Raise a RoleLensError unless these are role vectors."""
    if not isinstance(vectors, RoleVectors):
        raise RoleLensError(f"expected RoleVectors, of fit or load, got {shown(vectors)}")


def _weighted_mean(means: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    weights = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return einops.einsum(torch.stack(list(means)).double(), weights, "fit ..., fit -> ...").float()
