"""Reads and writes role vectors as files: safetensors with a JSON header.

    write_vectors("roles.safetensors", vars(vectors))
    RoleVectors(**read_vectors("roles.safetensors"))

The tensors are `role_means`, `base_mean` and `role_counts`, and for each contrast that has them
`found.<contrast>` and `separation.<contrast>`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from role_lens.errors import RoleLensError
from role_lens.files import as_path, atomic_write

FORMAT = 3
_TENSORS = ("role_means", "base_mean", "role_counts")
_BY_CONTRAST = ("found", "separation")
_HEADER = ("roles", "positions", "base_count", "provenance")


def write_vectors(path: str | Path, fields: Mapping[str, Any]) -> None:
    """Write the fields of a `RoleVectors`; whole or not at all.

    Raises:
        RoleLensError: the file can't be written.
    """
    header = {name: fields[name] for name in _HEADER}
    metadata = {"role_lens": json.dumps({"format": FORMAT, **header})}
    tensors = {name: fields[name] for name in _TENSORS}
    for name in _BY_CONTRAST:
        tensors |= {f"{name}.{contrast}": found for contrast, found in fields[name].items()}
    kept = {name: tensor.contiguous() for name, tensor in tensors.items()}
    content = save(kept, metadata=metadata)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_vectors(path: str | Path) -> dict[str, Any]:
    """Fields of a `RoleVectors` from a file that `write_vectors` wrote.

    Raises:
        RoleLensError: the file is missing, truncated, of another kind or format, or its tensors
            don't fit its header.
    """
    path = as_path(path)
    if not os.path.isfile(path):  # unlike pathlib's, False for what can't be a path too
        raise RoleLensError(
            f"no vectors at {path}: `role-lens fit` or `RoleVectors.fit` makes some"
        )
    metadata, tensors = read_safetensors(path)
    if "role_lens_patches" in metadata:
        raise RoleLensError(f"{path} holds a patch and no role vectors: give it as a patch")
    try:
        header = json.loads(metadata["role_lens"])
        version = header.pop("format")
        chosen = {name: tensors[name] for name in _TENSORS} if version == FORMAT else {}
        header = {name: header[name] for name in _HEADER}
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise RoleLensError(
            f"{path} is a safetensors file but holds no role vectors ({error!r})"
        ) from error
    if version != FORMAT:
        raise RoleLensError(
            f"{path} has format {version}, this version of role_lens reads {FORMAT}: fit the "
            "vectors again"
        )
    _check_header(path, header)
    by_contrast = {
        kind: {
            name.removeprefix(f"{kind}."): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{kind}.")
        }
        for kind in _BY_CONTRAST
    }
    _check_tensors(path, header, chosen, by_contrast)
    header |= {"roles": tuple(header["roles"]), "positions": tuple(header["positions"])}
    return {**header, **chosen, **by_contrast}


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and all tensors of a safetensors file.

    Raises:
        RoleLensError: it can't be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return metadata, load_file(path)
    except (SafetensorError, OSError) as error:
        raise RoleLensError(f"{path} is not a readable safetensors file: {error}") from error


def _check_header(path: Path, header: Mapping[str, Any]) -> None:
    roles, positions, base_count, provenance = (header[name] for name in _HEADER)
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


def _check_tensors(
    path: Path,
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    by_contrast: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Raise a RoleLensError unless shapes and types are those that the header says."""
    shape = (len(header["roles"]), len(header["positions"]), *tensors["base_mean"].shape[-2:])
    wanted = {"role_means": shape, "base_mean": shape[1:], "role_counts": shape[:1]}
    wanted |= {f"found.{contrast}": shape for contrast in by_contrast["found"]}
    wanted |= {f"separation.{contrast}": shape[:3] for contrast in by_contrast["separation"]}
    flat = {
        f"{kind}.{c}": tensor for kind, some in by_contrast.items() for c, tensor in some.items()
    }
    for name, tensor in {**tensors, **flat}.items():
        if name != "role_counts" and tensor.dtype != torch.float32:
            raise RoleLensError(f"{path}: {name} is {tensor.dtype}, expected torch.float32")
        if tuple(tensor.shape) != wanted[name]:
            raise RoleLensError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, the header says {wanted[name]}"
            )
    # Imported directions have no means at all.
    without = all(bool(tensors[name].isnan().all()) for name in ("role_means", "base_mean"))
    for name in ("role_means", "base_mean"):
        if not without and not bool(torch.isfinite(tensors[name]).all()):
            raise RoleLensError(f"{path}: {name} has NaN or infinite entries")
