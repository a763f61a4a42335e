"""Tells sets of results apart, by hashes of the model, the vectors and the patches behind them.

    model_identity(model)     # name, hash of the weights, precision
    content_hash(hash_of_vectors(vectors), {"seed": 0})

A run folder records these hashes, so that results of different models or vectors are never mixed.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch

from role_lens._run.exclusive import has_model_to_itself
from role_lens._run.fingerprint import refuse_hooks
from role_lens.models import Model, model_name, weight_processing
from role_lens.patches.patch import Patch
from role_lens.vectors import RoleVectors

# Integers of as many bytes as a number of the weights.
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def content_hash(*parts: Any) -> str:
    """Hash of JSON values or bytes, as 64 hexadecimal digits (SHA-256).

    Examples:
        >>> from role_lens.scoring import content_hash
        >>> content_hash({"seed": 0}) == content_hash({"seed": 1})
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        text = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        digest.update(text)
    return digest.hexdigest()


@has_model_to_itself
def model_identity(model: Model) -> dict[str, Any]:
    """What tells a model from others: name, weights and precision, as JSON values.

    All weights are read for it, which takes seconds for a large model.

    Raises:
        RoleLensError: the model carries hooks, whose results would be kept as the model's own.

    Examples:
        >>> from role_lens.scoring import model_identity
        >>> sorted(model_identity(model))
        ['dtype', 'model', 'weight_processing', 'weights']
    """
    refuse_hooks(model)
    return {
        "model": model_name(model),
        "weights": _hash_of_weights(model),
        "weight_processing": weight_processing(model),
        "dtype": str(model.cfg.dtype),
    }


def hash_of_vectors(vectors: RoleVectors) -> str:
    """Hash of all that patches are made from: roles, positions, means, other finders' directions.

    Examples:
        >>> from role_lens.scoring import hash_of_vectors
        >>> vectors.save(folder / "roles.safetensors")
        >>> loaded = RoleVectors.load(folder / "roles.safetensors")
        >>> hash_of_vectors(loaded) == hash_of_vectors(vectors)
        True
    """
    parts: list[Any] = [list(vectors.roles), list(vectors.positions)]
    parts += [vectors.role_means.numpy().tobytes(), vectors.base_mean.numpy().tobytes()]
    for contrast, directions in sorted(vectors.found.items()):
        parts += [contrast, directions.numpy().tobytes()]
    return content_hash(*parts)


def hash_of_patches(patches: Sequence[Patch]) -> str:
    """Hash of all that patches do.

    Examples:
        >>> from role_lens.scoring import hash_of_patches
        >>> once, twice = (vectors.add("poet", layer=1, coefficient=c) for c in (1.0, 2.0))
        >>> hash_of_patches([once]) == hash_of_patches([twice])
        False
    """
    parts: list[Any] = []
    for patch in patches:
        parts += [patch.kind, list(patch.layers), list(patch.weights), patch.value, patch.tokens]
        parts.append(patch.direction.numpy().tobytes())
        if (gate := patch.gate) is not None:
            parts += ["gate", gate.layer, gate.position, gate.threshold]
            parts.append(gate.direction.numpy().tobytes())
    return content_hash(*parts)


def _hash_of_weights(model: Model) -> str:
    """Hash of some thousands of evenly spaced numbers of every parameter, and of the sum of the
    bits of all its numbers: evenly spaced ones may all be of a single column."""
    parts: list[Any] = []
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().flatten()
        some = flat[:: max(1, len(flat) // 4096)].float().cpu().numpy().tobytes()
        bits = flat.view(_BITS[flat.element_size()]).sum(dtype=torch.int64)
        parts += [name, list(parameter.shape), some, int(bits)]
    return content_hash(*parts)
