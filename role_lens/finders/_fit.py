"""Fits role vectors: mean activations, directions, held-out separation, provenance.

    fitted = fit_means(model, FitPrompts(roles, base), finder="means", ...)

This is the work behind `RoleVectors.fit`.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from role_lens._run.activations import GroupSums, sum_activations
from role_lens._run.exclusive import has_model_to_itself
from role_lens._run.fingerprint import fingerprint, refuse_hooks
from role_lens._run.tokens import check_post_instruction, encode_chat, post_instruction_tokens
from role_lens.chat import template_record
from role_lens.checks import check_is, whole_number
from role_lens.compute import Compute
from role_lens.directions import MEAN_CONTRASTS, d_prime
from role_lens.errors import RoleLensError
from role_lens.finders._finder import (
    FINDERS,
    Directions,
    Finder,
    FitData,
    FitPrompts,
    finder_of,
    name_of,
)
from role_lens.models import Model, model_name, weight_processing
from role_lens.prompts import prompt_list, role_name, split
from role_lens.values import errors_of, shown
from role_lens.versions import package_versions


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit measures. The fields are those of `RoleVectors`."""

    roles: tuple[str, ...]
    positions: tuple[int, ...]
    role_means: Float[Tensor, "role position layer d_model"]
    base_mean: Float[Tensor, "position layer d_model"]
    role_counts: Int[Tensor, " role"]
    base_count: int
    found: Directions
    separation: Mapping[str, Float[Tensor, "role position layer"]]
    provenance: Mapping[str, Any]
    prompts: FitPrompts


@has_model_to_itself
@torch.inference_mode(False)  # or nothing could be trained on the vectors
def fit_means(
    model: Model,
    prompts: FitPrompts,
    *,
    finder: str | Finder,
    positions: Sequence[int] | None,
    system: str | None,
    compute: Compute,
) -> Fitted:
    """Fit as `RoleVectors.fit` says."""
    check_is(compute, Compute, "compute")
    used = finder_of(finder)
    refuse_hooks(model)
    named, base = named_prompts(prompts.roles, prompts.base)
    suffix = post_instruction_tokens(model, system)
    if positions is None and not suffix:
        raise RoleLensError(
            "the chat template puts no fixed tokens after the instruction: name positions, "
            "such as [-1]"
        )
    tokens = _tokens(model, named, base, system, suffix)
    shortest = min(len(ids) for sequences in tokens for ids in sequences)
    columns = _positions(positions, len(suffix), shortest)
    label = "role activations, half {} of 2" if compute.progress else None

    def sums(half: int, groups: Sequence[Any], probes: Tensor | None = None) -> GroupSums:
        return sum_activations(
            model,
            groups,
            columns,
            probes=probes,
            max_tokens=compute.max_tokens,
            progress=label and label.format(half),
        )

    def data(groups: Sequence[Any], mean: Tensor) -> FitData:
        means = mean[1:], mean[0]
        return FitData(model, columns, groups[1:], groups[0], *means, compute, tuple(named))

    # The second half's projections on the first half's directions give the separation, and both
    # halves together the means.
    first, second = zip(*map(_halves, tokens), strict=True)
    one = sums(1, first)
    half = data(first, one.mean())
    if used.from_prompts:
        found = _own(used.find(half), half.role_means)
    else:  # found once, with all means at hand
        rest = sums(2, second)
        whole = (one.total + rest.total) / (one.count + rest.count)[:, None, None, None]
        found = _own(used.find(data(tokens, whole.float())), half.role_means)
    probes = {**FINDERS["means"]().find(half), **found}
    two = sums(2, second, _unit(torch.cat(list(probes.values()))))
    count, total = one.count + two.count, one.total + two.total
    mean = (total / count[:, None, None, None]).float()
    if used.from_prompts:
        found = _own(used.find(data(tokens, mean)), mean[1:])
    return Fitted(
        roles=tuple(named),
        positions=columns,
        role_means=mean[1:].contiguous(),
        base_mean=mean[0].contiguous(),
        role_counts=count[1:],
        base_count=int(count[0]),
        found={name: d.float().contiguous() for name, d in found.items()},
        separation=_separation(two, list(probes)),
        provenance=_provenance(model, FitPrompts(named, base), system, suffix, used),
        prompts=FitPrompts(named, base),
    )


def named_prompts(roles: Any, base: Any) -> tuple[dict[str, list[str]], list[str]]:
    """Role prompts and base prompts as lists of strings, by the usual names of the roles.

    Raises:
        RoleLensError: no mapping of roles to prompts, no role, two of the same name, or something
            that holds no prompts.
    """
    if not isinstance(roles, Mapping):
        raise RoleLensError(
            "roles must be a mapping of role names to prompts, such as {'nurse': ['Any plans?']}, "
            f"got {type(roles).__name__}"
        )
    named = {
        role_name(role): prompt_list(some, f"prompts of role {role!r}")
        for role, some in roles.items()
    }
    listed = prompt_list(base, "base prompts")
    if not named:
        raise RoleLensError("expected at least one role, got none")
    if len(named) < len(roles):
        raise RoleLensError(f"two roles have the same name: {sorted(map(str, roles))}")
    return named, listed


def prompts_hash(prompts: Mapping[str, Sequence[str]] | Sequence[str]) -> str:
    """Hash of role prompts or of base prompts, as the provenance holds it."""
    if isinstance(prompts, Mapping):
        return _sha256({role: list(some) for role, some in prompts.items()})
    return _sha256(list(prompts))


def _tokens(
    model: Model,
    roles: Mapping[str, Sequence[str]],
    base: Sequence[str],
    system: str | None,
    suffix: Sequence[int],
) -> list[list[list[int]]]:
    """Token ids of the base prompts, and then of each role's."""
    groups = {"base prompts": base, **{f"role {r!r}": p for r, p in roles.items()}}
    encoded = []
    for name, some in groups.items():
        with errors_of(name):
            encoded.append(encode_chat(model, some, system))
        check_post_instruction(encoded[-1], suffix, some)
    return encoded


def _halves(sequences: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Two halves, all copies of a sequence in one of them; a lone sequence is in the first."""
    unique = list(dict.fromkeys(map(tuple, sequences)))
    chosen = set(split(unique, math.ceil(len(unique) / 2) / len(unique))[0])
    first = [ids for ids in sequences if tuple(ids) in chosen]
    return first, [ids for ids in sequences if tuple(ids) not in chosen]


def _positions(positions: Sequence[int] | None, n_suffix: int, shortest: int) -> tuple[int, ...]:
    if positions is None:
        chosen = tuple(range(-n_suffix, 0))
    elif not isinstance(positions, Iterable) or isinstance(positions, str):
        raise RoleLensError(f"positions must be a list such as [-1], got {shown(positions)}")
    else:
        chosen = tuple(whole_number(position, "a position") for position in positions)
    if not chosen or len(set(chosen)) < len(chosen):
        raise RoleLensError(f"positions must be distinct and at least one, got {list(chosen)}")
    for position in chosen:
        if not -shortest <= position < 0:
            raise RoleLensError(
                f"position {position} is out of range: positions count from the end, -1 to "
                f"-{shortest} for the shortest prompt"
            )
    return chosen


def _own(found: Directions, like: Tensor) -> dict[str, Tensor]:
    """Those that are not differences of means, which are made from the means when asked for.

    Args:
        like: of the shape that directions have.

    Raises:
        RoleLensError: directions of another shape.
    """
    own = {name: found[name] for name in sorted(found) if name not in MEAN_CONTRASTS}
    for name, directions in own.items():
        if directions.shape != like.shape:
            raise RoleLensError(
                f"the finder gave directions {name!r} of shape {tuple(directions.shape)}, expected "
                f"{tuple(like.shape)}: role, position, layer and d_model"
            )
    return own


def _unit(
    directions: Float[Tensor, "probe position layer d_model"],
) -> Float[Tensor, "probe position layer d_model"]:
    # A direction that is zero or NaN (no prompts in this half) separates nothing: NaN.
    return directions / directions.norm(dim=-1, keepdim=True)


def _separation(
    sums: GroupSums, contrasts: Sequence[str]
) -> dict[str, Float[Tensor, "role position layer"]]:
    """d' of the second half's projections, by contrast: the role's prompts against the other
    roles' for contrast `roles`, else against the base prompts."""
    n_roles = sums.count.shape[0] - 1
    own = torch.arange(n_roles)
    count = sums.count.double()[:, None, None, None]

    def moments(n: Tensor, total: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
        mean = total / n
        return mean, (square / n - mean.square()) * n / (n - 1)

    results = {}
    for number, contrast in enumerate(contrasts):
        probe = slice(number * n_roles, (number + 1) * n_roles)
        total, square = sums.probe_total[:, probe], sums.probe_square[:, probe]
        signal = moments(count[1:, 0], total[own + 1, own], square[own + 1, own])
        if contrast == "roles":
            noise = moments(
                (count[1:].sum(0) - count[1:])[:, 0],
                total[1:].sum(0) - total[own + 1, own],
                square[1:].sum(0) - square[own + 1, own],
            )
        else:
            noise = moments(count[0], total[0], square[0])
        results[contrast] = d_prime(*signal, *noise).float()
    return results


def _provenance(
    model: Model, prompts: FitPrompts, system: str | None, suffix: Sequence[int], finder: Finder
) -> dict[str, Any]:
    return {
        "model": model_name(model),
        "fingerprint": list(fingerprint(model)),
        "weight_processing": weight_processing(model),
        "dtype": str(model.cfg.dtype),
        "hook": "blocks.{layer}.hook_resid_pre",
        "finder": name_of(finder),
        "finder_options": json.loads(json.dumps(asdict(finder), default=str)),
        "chat_template_sha256": _sha256(getattr(model.tokenizer, "chat_template", None)),
        "system": system,
        "suffix": list(suffix),
        "role_prompts_sha256": prompts_hash(prompts.roles),
        "base_prompts_sha256": prompts_hash(prompts.base),
        "versions": package_versions(),
        **template_record(model),
    }


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
