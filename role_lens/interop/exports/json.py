"""Writes additions for vLLM, as the `SteeringVector` of its plugin vllm-lens: a JSON file.

    vector = SteeringVector.model_validate_json(Path("nurse.json").read_text())
    SamplingParams(extra_args={"apply_steering_vectors": [vector]})

vllm-lens counts outputs of blocks, so that our layer l is its layer l - 1, and there is none for
layer 0. Each request has its own vectors, also in one batch.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from role_lens.errors import RoleLensError
from role_lens.files import atomic_write
from role_lens.interop.layer_additions import additions
from role_lens.patches.patch import Combined


def write(patches: Combined, path: Path, about: Mapping[str, Any]) -> None:
    """Write what is added at each layer; there is no place for what is known of it.

    Raises:
        RoleLensError: layer 0.
    """
    layers = additions(patches, "vllm-lens")
    if 0 in layers:
        raise RoleLensError(
            "vllm-lens adds to outputs of blocks, so that layer 0 can't be expressed: take a "
            "direction of a later layer, or bake the patch into the weights"
        )
    rows = torch.stack(list(layers.values()))
    content = {
        "activations": {
            "data": base64.b64encode(rows.numpy().tobytes()).decode(),
            "dtype": "float32",
            "shape": list(rows.shape),
        },
        "layer_indices": [layer - 1 for layer in layers],
        "scale": 1.0,
        "norm_match": False,
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
