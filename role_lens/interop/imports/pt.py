"""Reads tensors that torch has saved: steering-vectors', the assistant axis's, or one for each
layer.

    import_vectors(model, "happy.pt")

- {layer: tensor}: `SteeringVector.layer_activations` of steering-vectors;
- {"vector": tensor, "role": name} or {"axis": tensor}: layer x d_model, of the assistant axis
  (arXiv 2601.10387);
- a tensor of layer x d_model.

All of them are of the outputs of blocks. Files that hold anything but tensors and plain values are
refused, since reading them would run code.
"""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from role_lens.errors import RoleLensError, first_line
from role_lens.interop.import_options import ImportOptions
from role_lens.interop.imported import Imported
from role_lens.values import shown


def read(path: Path, options: ImportOptions) -> Imported:
    """The directions of one role, by block."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how it was pickled; what matters is checked below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RoleLensError(
            "it holds more than tensors and plain values, which isn't read since that would run "
            "code: save the tensors alone, such as torch.save(vector.layer_activations, path)"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise RoleLensError(f"it is no readable file of torch: {first_line(error)}") from error
    name, about = path.stem, {}
    if isinstance(content, Mapping) and ("vector" in content or "axis" in content):
        about = {"type": content.get("type")}
        name = str(content.get("role") or name)
        content = content.get("vector", content.get("axis"))
    return Imported({options.role or name: _by_layer(content)}, "output", about)


def _by_layer(content: Any) -> dict[int, Tensor]:
    if isinstance(content, Tensor) and content.ndim == 2:
        return dict(enumerate(content))
    if isinstance(content, Mapping) and content:
        layers = {int(key): value for key, value in content.items() if str(key).isdigit()}
        if len(layers) == len(content) and all(isinstance(one, Tensor) for one in layers.values()):
            return layers
    what = f"a tensor of shape {tuple(content.shape)}" if isinstance(content, Tensor) else None
    raise RoleLensError(
        "expected a tensor for each layer, a tensor of layer x d_model, or a dictionary with one "
        f"as 'vector' or 'axis', got {what or shown(content)}"
    )
