"""RoleVectors: mean activations per role, from which directions and patches are made.

Means are kept, not differences, so that the contrast can be chosen afterwards.
"""

import difflib
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import einops
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from role_lens.activations import GroupSums, sum_activations
from role_lens.directions import Contrast, d_prime, difference_of_means, unit
from role_lens.errors import RoleLensError
from role_lens.files import atomic_write
from role_lens.fingerprint import fingerprint, same_fingerprint
from role_lens.models import Model, model_name, weight_processing
from role_lens.patches import Patch, TokenMask
from role_lens.prompts import role_name, split
from role_lens.tokens import (
    check_post_instruction,
    encode_chat,
    post_instruction_tokens,
)

_FORMAT = 1


@dataclass(frozen=True, eq=False)
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

    @classmethod
    def fit(
        cls,
        model: Model,
        roles: Mapping[str, Sequence[str]],
        base: Sequence[str],
        *,
        positions: Sequence[int] | None = None,
        system: str | None = None,
        max_tokens: int = 2048,
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
            max_tokens: most tokens in a batch, padding included.
            progress: show a progress bar.

        Raises:
            RoleLensError: no roles, an empty prompt list, an empty prompt or one longer than the
                context, positions out of range, NaN or infinite activations.
        """
        named = {role_name(role): list(prompts) for role, prompts in roles.items()}
        if not named:
            raise RoleLensError("expected at least one role, got none")
        if len(named) < len(roles):
            raise RoleLensError(f"two roles have the same name: {sorted(roles)}")
        groups = {"base prompts": list(base), **{f"role {r!r}": p for r, p in named.items()}}
        suffix = post_instruction_tokens(model, system)
        encoded = {}
        for name, prompts in groups.items():
            try:
                encoded[name] = encode_chat(model, prompts, system)
            except RoleLensError as error:
                raise RoleLensError(f"{name}: {error}") from error
            if positions is None:
                check_post_instruction(encoded[name], suffix, prompts)
        shortest = min(len(ids) for sequences in encoded.values() for ids in sequences)
        columns = _positions(positions, len(suffix), shortest)

        halves = [split(sequences, 0.5) for sequences in encoded.values()]
        first, second = zip(*halves, strict=True)
        options: dict[str, Any] = {"positions": columns, "max_tokens": max_tokens}
        label = "role activations, half {} of 2" if progress else None
        one = sum_activations(model, first, progress=label and label.format(1), **options)
        probes = _probes(one.mean())
        two = sum_activations(
            model, second, probes=probes, progress=label and label.format(2), **options
        )
        count, total = one.count + two.count, one.total + two.total
        mean = (total / count[:, None, None, None]).float()
        return cls(
            roles=tuple(named),
            positions=columns,
            role_means=mean[1:].contiguous(),
            base_mean=mean[0].contiguous(),
            role_counts=count[1:],
            base_count=int(count[0]),
            separation=_separation(two).float(),
            provenance=_provenance(model, named, base, system, suffix),
        )

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

        The separation is unknown then, and NaN.

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
        roles = tuple(dict.fromkeys(self.roles + other.roles))
        counts, means = [], []
        for role in roles:
            parts = [v for v in (self, other) if role in v.roles]
            count = [int(v.role_counts[v.roles.index(role)]) for v in parts]
            mean = [v.role_means[v.roles.index(role)] for v in parts]
            counts.append(sum(count))
            means.append(_weighted_mean(mean, count))
        n_base = [self.base_count, other.base_count]
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
            provenance={**self.provenance, "merged_with": dict(other.provenance)},
        )

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with the provenance as JSON; whole or not at all."""
        header = {
            "format": _FORMAT,
            "roles": self.roles,
            "positions": self.positions,
            "base_count": self.base_count,
            "provenance": self.provenance,
        }
        tensors = {
            "role_means": self.role_means,
            "base_mean": self.base_mean,
            "role_counts": self.role_counts,
            "separation": self.separation,
        }
        with atomic_write(path) as temporary:
            temporary.write_bytes(save(tensors, metadata={"role_lens": json.dumps(header)}))

    @classmethod
    def load(cls, path: str | Path) -> "RoleVectors":
        """Read what `save` wrote.

        Raises:
            RoleLensError: the file is missing, truncated, or not one of this package's.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise RoleLensError(f"no vectors at {path}; make some with RoleVectors.fit")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RoleLensError(f"{path} is not a readable safetensors file: {error}") from error
        try:
            header = json.loads(metadata["role_lens"])
            if header["format"] != _FORMAT:
                raise RoleLensError(
                    f"{path} has format {header['format']}, this version reads {_FORMAT}"
                )
            vectors = cls(
                roles=tuple(header["roles"]),
                positions=tuple(header["positions"]),
                role_means=tensors["role_means"],
                base_mean=tensors["base_mean"],
                role_counts=tensors["role_counts"],
                base_count=header["base_count"],
                separation=tensors["separation"],
                provenance=header["provenance"],
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise RoleLensError(
                f"{path} is a safetensors file but holds no role vectors (missing {error})"
            ) from error
        vectors._check_shapes(path)
        return vectors

    @property
    def _fingerprint(self) -> tuple[float, ...]:
        return tuple(self.provenance["fingerprint"])

    def _check_shapes(self, path: Path) -> None:
        shape = (len(self.roles), len(self.positions), *self.base_mean.shape[-2:])
        fits = (
            tuple(self.role_means.shape) == shape
            and tuple(self.base_mean.shape) == shape[1:]
            and tuple(self.separation.shape) == (2, *shape[:3])
            and tuple(self.role_counts.shape) == shape[:1]
        )
        if not fits or not bool(torch.isfinite(self.role_means).all()):
            raise RoleLensError(f"{path}: the tensors don't fit the header, or are not finite")

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


def _positions(positions: Sequence[int] | None, n_suffix: int, shortest: int) -> tuple[int, ...]:
    chosen = tuple(range(-n_suffix, 0)) if positions is None else tuple(positions)
    if not chosen or len(set(chosen)) < len(chosen):
        raise RoleLensError(f"positions must be distinct and at least one, got {list(chosen)}")
    for position in chosen:
        if not -shortest <= position < 0:
            raise RoleLensError(
                f"position {position} is out of range: positions count from the end, -1 to "
                f"-{shortest} for the shortest prompt"
            )
    return chosen


def _probes(
    mean: Float[Tensor, "group position layer d_model"],
) -> Float[Tensor, "probe position layer d_model"]:
    """Unit directions from the first half: base contrast of every role, then roles contrast."""
    base, roles = mean[0], mean[1:]
    raw = [difference_of_means(roles, base, "base")]
    if len(roles) > 1:
        raw.append(difference_of_means(roles, base, "roles"))
    stacked = torch.cat(raw)
    # A direction that is zero or NaN here (no prompts in this half) separates nothing: NaN.
    return stacked / stacked.norm(dim=-1, keepdim=True)


def _separation(sums: GroupSums) -> Float[Tensor, "contrast role position layer"]:
    """d' of the second half's projections: role against base, role against the other roles."""
    n_roles = sums.count.shape[0] - 1
    own = torch.arange(n_roles)
    count = sums.count.double()[:, None, None, None]

    def moments(n: Tensor, total: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
        mean = total / n
        return mean, (square / n - mean.square()) * n / (n - 1)

    results = []
    for contrast in range(sums.probe_total.shape[1] // n_roles):
        probe = slice(contrast * n_roles, (contrast + 1) * n_roles)
        total, square = sums.probe_total[:, probe], sums.probe_square[:, probe]
        signal = moments(count[1:, 0], total[own + 1, own], square[own + 1, own])
        if contrast == 0:
            noise = moments(count[0], total[0], square[0])
        else:
            noise = moments(
                (count[1:].sum(0) - count[1:])[:, 0],
                total[1:].sum(0) - total[own + 1, own],
                square[1:].sum(0) - square[own + 1, own],
            )
        results.append(d_prime(*signal, *noise))
    while len(results) < 2:  # a single role has no others to be told from
        results.append(torch.full_like(results[0], float("nan")))
    return torch.stack(results)


def _weighted_mean(means: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    total = sum(mean.double() * n for mean, n in zip(means, counts, strict=True))
    return (total / sum(counts)).float()  # type: ignore[union-attr]


def _provenance(
    model: Model,
    roles: Mapping[str, Sequence[str]],
    base: Sequence[str],
    system: str | None,
    suffix: Sequence[int],
) -> dict[str, Any]:
    return {
        "model": model_name(model),
        "fingerprint": list(fingerprint(model)),
        "weight_processing": weight_processing(model),
        "dtype": str(model.cfg.dtype),
        "hook": "blocks.{layer}.hook_resid_pre",
        "chat_template_sha256": _sha256(getattr(model.tokenizer, "chat_template", None)),
        "system": system,
        "suffix": list(suffix),
        "role_prompts_sha256": _sha256({role: list(p) for role, p in roles.items()}),
        "base_prompts_sha256": _sha256(list(base)),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("role-lens", "transformer-lens", "transformers", "torch")
        },
    }


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
