"""From prompts to mean activations per role, with held-out separation and provenance.

The work behind `RoleVectors.fit`; knows nothing of patches or files.
"""

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from role_lens._run.activations import GroupSums, sum_activations
from role_lens._run.fingerprint import fingerprint, refuse_hooks
from role_lens._run.tokens import check_post_instruction, encode_chat, post_instruction_tokens
from role_lens.directions import d_prime, difference_of_means
from role_lens.errors import RoleLensError
from role_lens.models import Model, model_name, weight_processing
from role_lens.prompts import role_name, split


@dataclass(frozen=True, eq=False)
class FittedMeans:
    """What a fit measures; the fields are those of `RoleVectors`."""

    roles: tuple[str, ...]
    positions: tuple[int, ...]
    role_means: Float[Tensor, "role position layer d_model"]
    base_mean: Float[Tensor, "position layer d_model"]
    role_counts: Int[Tensor, " role"]
    base_count: int
    separation: Float[Tensor, "contrast role position layer"]
    provenance: Mapping[str, Any]


def fit_means(
    model: Model,
    roles: Mapping[str, Sequence[str]],
    base: Sequence[str],
    *,
    positions: Sequence[int] | None,
    system: str | None,
    max_tokens: int | None,
    progress: bool,
) -> FittedMeans:
    """See `RoleVectors.fit`."""
    refuse_hooks(model)
    named = {role_name(role): prompts for role, prompts in roles.items()}
    if not named:
        raise RoleLensError("expected at least one role, got none")
    if len(named) < len(roles):
        raise RoleLensError(f"two roles have the same name: {sorted(roles)}")
    groups = {"base prompts": base, **{f"role {r!r}": p for r, p in named.items()}}
    suffix = post_instruction_tokens(model, system)
    if positions is None and not suffix:
        raise RoleLensError("the chat template puts no fixed tokens after the instruction")
    encoded = {}
    for name, prompts in groups.items():
        try:
            encoded[name] = encode_chat(model, prompts, system)
        except RoleLensError as error:
            raise RoleLensError(f"{name}: {error}") from error
        check_post_instruction(encoded[name], suffix, prompts)
    shortest = min(len(ids) for sequences in encoded.values() for ids in sequences)
    columns = _positions(positions, len(suffix), shortest)

    first, second = zip(*map(_halves, encoded.values()), strict=True)
    options: dict[str, Any] = {"positions": columns, "max_tokens": max_tokens}
    label = "role activations, half {} of 2" if progress else None
    one = sum_activations(model, first, progress=label and label.format(1), **options)
    probes = _probes(one.mean())
    two = sum_activations(
        model, second, probes=probes, progress=label and label.format(2), **options
    )
    count, total = one.count + two.count, one.total + two.total
    mean = (total / count[:, None, None, None]).float()
    return FittedMeans(
        roles=tuple(named),
        positions=columns,
        role_means=mean[1:].contiguous(),
        base_mean=mean[0].contiguous(),
        role_counts=count[1:],
        base_count=int(count[0]),
        separation=_separation(two).float(),
        provenance=_provenance(model, named, base, system, suffix),
    )


def prompts_hash(prompts: Mapping[str, Sequence[str]] | Sequence[str]) -> str:
    """As in the provenance, of role prompts or of base prompts."""
    if isinstance(prompts, Mapping):
        return _sha256({role: list(some) for role, some in prompts.items()})
    return _sha256(list(prompts))


def check_prompts(
    provenance: Mapping[str, Any], roles: Mapping[str, Sequence[str]], base: Sequence[str]
) -> None:
    """Raise a RoleLensError unless vectors with this provenance were fitted on these prompts."""
    if provenance.get("merged_with"):
        raise RoleLensError("the prompts of merged vectors can't be told: use those of one fit")
    hashes = {"role_prompts_sha256": prompts_hash(roles), "base_prompts_sha256": prompts_hash(base)}
    for key, value in hashes.items():
        if provenance[key] != value:
            raise RoleLensError(f"the vectors were fitted on other prompts ({key} differs)")


def _halves(sequences: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Two halves, all copies of a sequence in one of them; a lone sequence is in the first."""
    unique = list(dict.fromkeys(map(tuple, sequences)))
    chosen = set(split(unique, math.ceil(len(unique) / 2) / len(unique))[0])
    first = [ids for ids in sequences if tuple(ids) in chosen]
    return first, [ids for ids in sequences if tuple(ids) not in chosen]


def _positions(positions: Sequence[int] | None, n_suffix: int, shortest: int) -> tuple[int, ...]:
    chosen = tuple(range(-n_suffix, 0)) if positions is None else tuple(map(index, positions))
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
        "role_prompts_sha256": prompts_hash(roles),
        "base_prompts_sha256": prompts_hash(base),
        "versions": package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Of what results may depend on."""
    names = ("role-lens", "transformer-lens", "transformers", "torch")
    return {name: importlib.metadata.version(name) for name in names}


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
