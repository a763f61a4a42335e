"""Reads and writes patches as files: safetensors with a JSON header that says what they do.

    write_patches("nurse.safetensors", vectors.add("nurse", layer=15), about={"role": "nurse"})
    read_patches("nurse.safetensors").patches

The header says in words what is changed, where, and by how much, for who reads the file without
this package. Its tensors are `direction.0`, `direction.1`, …, one of each patch, and `gate.0`
for one behind a gate.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from role_lens._run.fingerprint import Fingerprint
from role_lens.errors import RoleLensError
from role_lens.files import atomic_write
from role_lens.loading.hub_files import PATCH_FILE, at_hand
from role_lens.patches.gate import Gate
from role_lens.patches.kind import KINDS
from role_lens.patches.patch import Combined, Patch, Patches, combined
from role_lens.patches.token_masks import meaning
from role_lens.values import errors_of, shown
from role_lens.vector_file import read_safetensors

FORMAT = 1
PATCHES = "role_lens_patches"
"""The key of the header."""
_AT_LAYERS = "the input of each of the layers"
_WEIGHTED = ", where the value is first multiplied by the layer's weight"
_EVERYWHERE = (
    "the input of every block, what its attention and its MLP write (after their norms, if there "
    "are some), the stream between the two, and the stream after the last block"
)
_GATED = (
    "only at prompts whose projection on the unit vector gate.N is above the threshold, in the "
    "unpatched model and at the gate's layer and position (counted from the end of the prompt)"
)
_WORDS = {
    "layers": "layer l is the residual stream x entering block l, counted from 0: TransformerLens's"
    " blocks.{l}.hook_resid_pre, which for l > 0 is the output of block l - 1",
    "sign": "a direction of role_lens points from the contrast to the role",
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
    header = {
        "format": FORMAT,
        "patches": [
            {
                "kind": patch.kind,
                "layers": list(patch.layers),
                "weights": list(patch.weights),
                "value": patch.value,
                "tokens": patch.tokens,
                "fingerprint": patch.fingerprint and list(patch.fingerprint),
                "gate": _gate_header(patch.gate),
                "words": _words(patch),
            }
            for patch in several
        ],
        "words": _WORDS,
        "about": about_of(about),
    }
    text = json.dumps(header, allow_nan=False)
    tensors = {f"direction.{i}": patch.direction.clone() for i, patch in enumerate(several)}
    for i, patch in enumerate(several):
        if patch.gate is not None:
            tensors[f"gate.{i}"] = patch.gate.direction.clone()
    content = save(tensors, metadata={PATCHES: text})
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def about_of(about: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known of a patch, as a dictionary.

    Raises:
        RoleLensError: it is no mapping, or not of JSON values.
    """
    if about is not None and not isinstance(about, Mapping):
        raise RoleLensError(
            f"about must be a mapping, such as {{'role': 'nurse'}}, got {shown(about)}"
        )
    try:
        json.dumps(about, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RoleLensError(f"about must be of JSON values, got {shown(about)}: {error}") from error
    return dict(about or {})


def _words(patch: Patch) -> dict[str, str]:
    """What a patch does, for who reads its file."""
    kind = KINDS[patch.kind]
    return {
        "change": f"{kind.formula}, in float32",
        "direction": "d, not multiplied by the value" if kind.raw else "the unit vector u",
        "where": _EVERYWHERE if kind.everywhere else _AT_LAYERS + (_WEIGHTED * patch.weighted),
        "tokens": meaning(patch.tokens),
        **({"gate": _GATED} if patch.gate is not None else {}),
    }


def read_patches(path: str | Path) -> SavedPatches:
    """Read what `write_patches` or `Patch.save` wrote, here or on the Hugging Face hub.

    Args:
        path: a file, or `hf://user/repo`, `hf://user/repo@revision/file`; `about["hub"]` then says
            which commit it was.

    Raises:
        RoleLensError: the file is missing, damaged, or holds no patches; it isn't on the hub, or
            the hub can't be reached.

    Examples:
        >>> from role_lens.patches import read_patches
        >>> vectors.add("poet", layer=1).save(folder / "poet.safetensors")
        >>> read_patches(folder / "poet.safetensors").patches[0].layers
        (1,)
    """
    found = at_hand(path, PATCH_FILE)
    file = found.path
    if not os.path.isfile(file):
        raise RoleLensError(f"no patch at {file}: `role-lens export` or `Patch.save` makes one")
    metadata, tensors = read_safetensors(file)
    if PATCHES not in metadata:
        if "role_lens" in metadata:
            raise RoleLensError(
                f"{file} holds role vectors and no patch: give it as vectors, with a role and a "
                "layer"
            )
        raise RoleLensError(
            f"{file} holds no patches: `role-lens import` reads directions of other programs"
        )
    with errors_of(str(file)):
        try:
            header = json.loads(metadata[PATCHES])
            if header["format"] != FORMAT:
                raise RoleLensError(
                    f"it has format {header['format']}, this version of role_lens reads {FORMAT}"
                )
            patches = tuple(
                _patch(tensors[f"direction.{i}"], tensors.get(f"gate.{i}"), **one)
                for i, one in enumerate(header["patches"])
            )
            about = dict(header["about"]) | ({"hub": found.origin} if found.origin else {})
        except RoleLensError:
            raise
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise RoleLensError(f"its header is damaged ({error!r})") from error
        if not patches:
            raise RoleLensError("it holds no patches")
    return SavedPatches(patches, about)


def _gate_header(gate: Gate | None) -> dict[str, Any] | None:
    if gate is None:
        return None
    numbers = {name: getattr(gate, name) for name in ("layer", "position", "threshold")}
    return {**numbers, "fingerprint": gate.fingerprint and list(gate.fingerprint)}


def _patch(
    direction: Tensor,
    of_gate: Tensor | None,
    kind: str,
    layers: Any,
    weights: Any,
    value: Any,
    tokens: Any,
    fingerprint: Any,
    gate: Any,
    words: Any,
) -> Patch:
    if direction.dtype != torch.float32 or direction.ndim != 1:
        raise RoleLensError(
            f"a direction must be one row of torch.float32, got {direction.dtype} of shape "
            f"{tuple(direction.shape)}"
        )
    made = Patch.of(
        kind,
        direction,
        layer=() if KINDS[kind].everywhere else dict(zip(layers, weights, strict=True)),
        value=value,
        tokens=tokens,
        fingerprint=_fingerprint(fingerprint),
    )
    if (gate is None) != (of_gate is None):
        raise RoleLensError("it has half of a gate: the header or the direction is missing")
    if gate is not None and of_gate is not None:
        made = made.behind(
            Gate(**{**gate, "fingerprint": _fingerprint(gate["fingerprint"])}, direction=of_gate)
        )
    # A unit vector that is normalised again may differ in its last digit.
    same = torch.allclose(made.direction, direction, rtol=1e-5, atol=1e-6)
    return replace(made, direction=direction) if same else made


def _fingerprint(numbers: Any) -> Fingerprint | None:
    return None if numbers is None else tuple(map(float, numbers))
