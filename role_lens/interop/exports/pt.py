"""Writes additions, clamps and ablations for lm-eval's own `steered` model: a `.pt` file.

    lm_eval --model steered --model_args pretrained=path/to/model,steer_path=nurse.pt --tasks …

Its keys are modules below the base model, whose outputs are changed for all tokens: of layer l the
block before, at layer 0 the embedding. An ablation is a clamp to zero of everything that writes to
the residual stream. lm-eval reads the file as Python objects, as `torch.load` does.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from role_lens.errors import RoleLensError
from role_lens.files import atomic_write
from role_lens.interop.layer_additions import additions
from role_lens.interop.stream_writers import StreamWriters, parameters_of, writers_of
from role_lens.patches.patch import Combined


def write(patches: Combined, path: Path, about: Mapping[str, Any]) -> None:
    """Write what is done to the output of each module.

    Raises:
        RoleLensError: no model is named, or one that is not local or of an unknown architecture; a
            patch that can't be expressed.
    """
    if not about.get("model"):
        raise RoleLensError("lm-eval's file names modules of a model: say which (--model)")
    model = str(about["model"])
    writers, names = writers_of(model), parameters_of(model)
    actions: dict[str, dict[str, Any]] = {}
    for module, vector, number, action in _actions(patches, writers, names):
        if module in actions:
            raise RoleLensError(f"lm-eval takes one change of {module}, and there are several")
        actions[module] = {
            "steering_vector": vector,
            "steering_coefficient": number,
            "action": action,
            "bias": None,
            "head_index": None,
        }
    with atomic_write(path) as temporary:
        torch.save(actions, temporary)


def _actions(
    patches: Combined, writers: StreamWriters, names: frozenset[str]
) -> Iterator[tuple[str, torch.Tensor, float, str]]:
    kept = tuple(patch for patch in patches if patch.kind == "add")
    if kept:
        for layer, whole in additions(kept, "lm-eval's steered model").items():
            yield _module(layer, writers), whole, 1.0, "add"
    for patch in patches:
        if patch.kind == "add":
            continue
        if patch.kind not in ("clamp", "ablate") or patch.tokens != "all" or patch.gate:
            additions((patch,), "lm-eval's steered model")  # refuses it
        if patch.kind == "ablate":
            everything = re.compile("|".join(writers.modules))
            for name in sorted(names):
                if everything.fullmatch(name):
                    yield _below_base(name.removesuffix(".weight")), patch.direction, 0.0, "clamp"
        for layer in patch.layers:
            if layer == 0 and len(writers.embeddings) > 1:
                raise RoleLensError(
                    "the input of layer 0 is a sum of embeddings, which lm-eval can't clamp: take "
                    "a later layer"
                )
            yield _module(layer, writers), patch.direction, patch.value, "clamp"


def _module(layer: int, writers: StreamWriters) -> str:
    """The module whose output is the input of a layer."""
    if layer == 0:
        return _below_base(writers.embedding.removesuffix(".weight"))
    return _below_base(writers.block.format(layer=layer - 1))


def _below_base(name: str) -> str:
    return name.split(".", 1)[1]
