"""Reads and writes patches as files: safetensors with a JSON header that says what they do.

    write_patches("nurse.safetensors", vectors.add("nurse", layer=15), about={"role": "nurse"})
    read_patches("nurse.safetensors").patches

The header says in words what is changed, where, and by how much, for who reads the file without
this package. Its tensors are `direction.0`, `direction.1`, …, one of each patch.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from role_lens.errors import RoleLensError
from role_lens.files import as_path, atomic_write
from role_lens.patches.kind import KINDS
from role_lens.patches.patch import Combined, Patch, Patches, combined
from role_lens.values import errors_of, shown
from role_lens.vector_file import read_safetensors

FORMAT = 1
PATCHES = "role_lens_patches"
"""The key of the header."""
_WORDS = {
    "layers": "layer l is the residual stream entering block l, counted from 0: TransformerLens's "
    "blocks.{l}.hook_resid_pre, which for l > 0 is the output of block l - 1",
    "direction": "add: raw, not multiplied by the value; other kinds: the unit vector u; float32",
    "sign": "a direction of role_lens points from the contrast to the role",
    "add": "x + value * direction, at the input of the layers",
    "ablate": "x - (x.u) u, at the input of every block, on what its attention and MLP write "
    "(after their norms, if there are some), between the two, and after the last block",
    "clamp": "x + (value - x.u) u, at the input of the layers",
    "cap": "x + min(0, value - x.u) u, at the input of the layers",
    "tokens": "which tokens are changed: see role_lens.patches.TokenMask",
}


@dataclass(frozen=True, eq=False)
class SavedPatches:
    """What a file of patches holds.

    Examples:
        >>> from role_lens.patches import SavedPatches
        >>> SavedPatches((Patch.add(torch.ones(4), layer=1),), {"role": "poet"}).about["role"]
        'poet'
    """

    patches: Combined
    """Patches that act together, in this order."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What is known of them, as JSON values: role, vectors, and the verdict with its conditions."""


def write_patches(
    path: str | Path, patches: Patches, about: Mapping[str, Any] | None = None
) -> None:
    """Write one patch, or several that act together; whole or not at all.

    Args:
        path: the file, such as nurse.safetensors.
        patches: one or more.
        about: what is known of them, as JSON values.

    Raises:
        RoleLensError: no patch, something that is not JSON, a file that can't be written.

    Examples:
        >>> from role_lens.patches import read_patches, write_patches
        >>> both = vectors.add("poet", layer=1), vectors.ablate("cook", layer=2)
        >>> write_patches(folder / "both.safetensors", both, about={"role": "poet, no cook"})
        >>> read_patches(folder / "both.safetensors").about
        {'role': 'poet, no cook'}
    """
    several = combined(patches)
    if not several:
        raise RoleLensError("expected a patch to write, got None: the unchanged model is no patch")
    kinds = {patch.kind for patch in several}
    header = {
        "format": FORMAT,
        "patches": [
            {
                "kind": patch.kind,
                "layers": list(patch.layers),
                "value": patch.value,
                "tokens": patch.tokens,
                "fingerprint": patch.fingerprint and list(patch.fingerprint),
            }
            for patch in several
        ],
        "words": {name: text for name, text in _WORDS.items() if name in {*_GENERAL, *kinds}},
        "about": dict(about or {}),
    }
    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RoleLensError(f"about must be of JSON values, got {shown(about)}: {error}") from error
    tensors = {f"direction.{i}": patch.direction.contiguous() for i, patch in enumerate(several)}
    content = save(tensors, metadata={PATCHES: text})
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


_GENERAL = ("layers", "direction", "sign", "tokens")


def read_patches(path: str | Path) -> SavedPatches:
    """Read what `write_patches` or `Patch.save` wrote.

    Raises:
        RoleLensError: the file is missing, damaged, or holds no patches.

    Examples:
        >>> from role_lens.patches import read_patches
        >>> vectors.add("poet", layer=1).save(folder / "poet.safetensors")
        >>> read_patches(folder / "poet.safetensors").patches[0].layers
        (1,)
    """
    file = as_path(path)
    if not os.path.isfile(file):
        raise RoleLensError(f"no patch at {file}: `role-lens export` or `Patch.save` makes one")
    metadata, tensors = read_safetensors(file)
    if PATCHES not in metadata:
        kind = "role vectors: name a role and a layer" if "role_lens" in metadata else "no patches"
        raise RoleLensError(f"{file} holds {kind}")
    with errors_of(str(file)):
        try:
            header = json.loads(metadata[PATCHES])
            if header["format"] != FORMAT:
                raise RoleLensError(
                    f"it has format {header['format']}, this version of role_lens reads {FORMAT}"
                )
            patches = tuple(
                _patch(tensors[f"direction.{i}"], **one) for i, one in enumerate(header["patches"])
            )
            about = dict(header["about"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, RoleLensError):
                raise
            raise RoleLensError(f"its header is damaged ({error!r})") from error
        if not patches:
            raise RoleLensError("it holds no patches")
    return SavedPatches(patches, about)


def _patch(
    direction: Any, kind: str, layers: Any, value: Any, tokens: Any, fingerprint: Any
) -> Patch:
    made = Patch.of(
        kind,
        direction,
        layer=() if KINDS[kind].everywhere else layers,
        value=value,
        tokens=tokens,
        fingerprint=None if fingerprint is None else tuple(map(float, fingerprint)),
    )
    # A unit vector that is normalised again may differ in its last digit.
    same = torch.allclose(made.direction, direction, rtol=1e-5, atol=1e-6)
    return replace(made, direction=direction) if same else made
