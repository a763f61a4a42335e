"""The file format of role vectors: safetensors with a JSON header. Knows no model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from role_lens.errors import RoleLensError
from role_lens.files import as_path, atomic_write

FORMAT = 1
TENSORS = ("role_means", "base_mean", "role_counts", "separation")
HEADER = ("roles", "positions", "base_count", "provenance")


def write_vectors(
    path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors and header; whole or not at all.

    Raises:
        RoleLensError: the file can't be written.
    """
    metadata = {"role_lens": json.dumps({"format": FORMAT, **header})}
    content = save({name: tensors[name].contiguous() for name in TENSORS}, metadata=metadata)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_vectors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file that `write_vectors` wrote.

    Raises:
        RoleLensError: the file is missing, truncated, of another kind or format, or its tensors
            don't fit its header.
    """
    path = as_path(path)
    if not path.is_file():
        raise RoleLensError(
            f"no vectors at {path}: `role-lens fit` or `RoleVectors.fit` makes some"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RoleLensError(f"{path} is not a readable safetensors file: {error}") from error
    try:
        header = json.loads(metadata["role_lens"])
        version, parts = header["format"], [header[key] for key in HEADER]
        chosen = {name: tensors[name] for name in TENSORS}
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise RoleLensError(
            f"{path} is a safetensors file but holds no role vectors ({error!r})"
        ) from error
    if version != FORMAT:
        raise RoleLensError(f"{path} has format {version}, this version reads {FORMAT}")
    roles, positions, base_count, provenance = parts
    if not (
        isinstance(roles, list)
        and all(isinstance(role, str) for role in roles)
        and isinstance(positions, list)
        and all(type(position) is int for position in positions)
        and type(base_count) is int
        and isinstance(provenance, dict)
        and isinstance(provenance.get("fingerprint"), list)
    ):
        raise RoleLensError(f"{path}: the header is damaged: {str(header)[:80]}…")
    shape = (len(roles), len(positions), *chosen["base_mean"].shape[-2:])
    expected = {
        "role_means": shape,
        "base_mean": shape[1:],
        "role_counts": shape[:1],
        "separation": (2, *shape[:3]),
    }
    for name, wanted in expected.items():
        if name != "role_counts" and chosen[name].dtype != torch.float32:
            raise RoleLensError(f"{path}: {name} is {chosen[name].dtype}, expected torch.float32")
        if tuple(chosen[name].shape) != wanted:
            raise RoleLensError(
                f"{path}: {name} has shape {tuple(chosen[name].shape)}, the header says {wanted}"
            )
    for name in ("role_means", "base_mean"):
        if not bool(torch.isfinite(chosen[name]).all()):
            raise RoleLensError(f"{path}: {name} has NaN or infinite entries")
    return chosen, header
