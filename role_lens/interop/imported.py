"""Takes other people's vectors: files of repeng and llama.cpp, steering-vectors, the assistant
axis, SAEs, and plain arrays.

    vectors = import_vectors(model, "happy.gguf", ImportOptions(role="happy"))
    vectors.add("happy", layer=15, contrast="imported")

The formats are the files in `role_lens.interop.imports`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from role_lens._registry import Registry
from role_lens._run.fingerprint import fingerprint
from role_lens.checks import whole_number
from role_lens.errors import RoleLensError, warn
from role_lens.files import as_path
from role_lens.interop.import_options import Convention, ImportOptions
from role_lens.models import Model, model_name
from role_lens.prompts import role_name
from role_lens.values import errors_of, shown
from role_lens.vectors import RoleVectors

CONTRAST = "imported"
"""The contrast under which imported directions are found."""


@dataclass(frozen=True, eq=False)
class Imported:
    """What a file holds."""

    directions: Mapping[str, Mapping[int, Tensor]]
    """Role -> layer -> direction; layers as the file counts them."""
    convention: Convention
    """What the file's layers mean."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else the file says of itself, as JSON values."""


Reader: TypeAlias = Callable[[Path, ImportOptions], Imported]

IMPORTS: Registry[Reader] = Registry("role_lens.interop.imports", "read", "import format")
"""The file formats, by name; `IMPORTS.names` lists them."""


def import_vectors(
    model: Model,
    path: str | Path,
    options: ImportOptions = ImportOptions(),
    format: str | None = None,
) -> RoleVectors:
    """Read directions that another program has written.

    They are the raw directions at one position, of contrast `imported`: there are no means, and no
    contrasts `base` and `roles`. Where the file counts layers by their outputs, that of block N is
    layer N + 1 here. That the vectors are of these weights can't be told from most files, and is
    taken on trust; their width and layers are checked.

    Args:
        model: the model that they are for.
        path: the file, or a folder of SAELens.
        options: names, layers, and rows of an SAE.
        format: a name in `IMPORTS`; None for the file's ending, and `sae` for a folder.

    Raises:
        RoleLensError: an unknown format, a file that can't be read, holds code or no directions, a
            width or layer that the model doesn't have, a direction that isn't finite.

    Warns:
        UserWarning: a direction for the output of the last block, which has no layer here, is left
            out.

    Examples:
        >>> import numpy as np
        >>> from role_lens.interop import ImportOptions, import_vectors
        >>> np.savez(folder / "happy.npz", **{"2": np.ones(32, dtype=np.float32)})
        >>> options = ImportOptions(convention="input")
        >>> theirs = import_vectors(model, folder / "happy.npz", options)
        >>> theirs.roles, theirs.contrasts
        (('happy',), ('imported',))
        >>> theirs.add("happy", layer=2, contrast="imported").layers
        (2,)
    """
    source = as_path(path)
    name = format or ("sae" if source.is_dir() else source.suffix.removeprefix(".").lower())
    read = IMPORTS[name]
    if not source.exists():
        raise RoleLensError(f"no file at {source}")
    with errors_of(str(source)):
        found = read(source, options)
        convention = options.convention or found.convention
        by_role = {
            role_name(role): _by_layer(some, convention, model.cfg.n_layers, model.cfg.d_model)
            for role, some in found.directions.items()
        }
        if not any(by_role.values()):
            raise RoleLensError("it holds no directions")
    shape = (len(by_role), 1, model.cfg.n_layers, model.cfg.d_model)
    directions = torch.full(shape, torch.nan)
    for row, layers in enumerate(by_role.values()):
        for layer, direction in layers.items():
            directions[row, 0, layer] = direction
    return RoleVectors(
        roles=tuple(by_role),
        positions=(-1,),
        role_means=torch.full(shape, torch.nan),
        base_mean=torch.full(shape[1:], torch.nan),
        role_counts=torch.zeros(len(by_role), dtype=torch.long),
        base_count=0,
        found={CONTRAST: directions},
        separation={},
        provenance={
            "model": model_name(model),
            "fingerprint": list(fingerprint(model)),
            "hook": "blocks.{layer}.hook_resid_pre",
            "finder": CONTRAST,
            "imported_from": source.name,
            "format": name,
            "layer_convention": convention,
            "operation": "add",
            "system": None,
            "role_prompts_sha256": None,
            "base_prompts_sha256": None,
            **found.about,
        },
    )


def _by_layer(
    some: Mapping[int, Tensor], convention: Convention, n_layers: int, d_model: int
) -> dict[int, Tensor]:
    """Directions by the layer whose input they are added to, checked."""
    layers: dict[int, Tensor] = {}
    for number, direction in some.items():
        layer = whole_number(number, "a layer") + (convention == "output")
        if layer == n_layers:
            warn("the direction for the output of the last block has no layer here: left out")
            continue
        if not 0 <= layer < n_layers:
            raise RoleLensError(
                f"layer {number} ({convention}) is beyond the model, which has {n_layers} layers"
            )
        vector = torch.as_tensor(direction).detach().float().flatten()
        if tuple(vector.shape) != (d_model,):
            raise RoleLensError(
                f"the direction at layer {number} has {len(vector)} numbers, and the model's "
                f"residual stream {d_model}: are the vectors of this model?"
            )
        if not bool(vector.isfinite().all()):
            raise RoleLensError(f"the direction at layer {number} is NaN or infinite")
        layers[layer] = vector
    return layers


def of_plain_arrays(arrays: Mapping[str, Any], path: Path, options: ImportOptions) -> Imported:
    """Directions in named arrays: one for each layer, or one array of layer x d_model.

    Names are in the layer map, or numbers with whatever stands before them (`layer.12`, `12`), or
    TransformerLens's hooks (`blocks.12.hook_resid_pre`), which say what they mean.

    Raises:
        RoleLensError: a name without a layer, or numbers without a convention.
    """
    role = options.role or path.stem
    hooks = {"hook_resid_pre": "input", "hook_resid_post": "output"}
    by_layer: dict[int, Tensor] = {}
    conventions: set[str] = set()
    for name, array in arrays.items():
        tensor = torch.as_tensor(array)
        digits = [part for part in name.replace("_", ".").split(".") if part.isdigit()]
        if name in options.layer_map:
            by_layer[options.layer_map[name]] = tensor
            conventions.add("input")
        elif name.startswith("blocks.") and name.split(".")[-1] in hooks:
            by_layer[int(digits[0])] = tensor
            conventions.add(hooks[name.split(".")[-1]])
        elif tensor.ndim == 2 and len(arrays) == 1:
            by_layer |= dict(enumerate(tensor))
        elif len(digits) == 1:
            by_layer[int(digits[0])] = tensor
        else:
            raise RoleLensError(
                f"can't tell the layer of array {shown(name)}: give a layer map, such as "
                f"{{{shown(name)}: 12}}"
            )
    known = conventions | ({options.convention} if options.convention else set())
    if len(known) != 1:
        raise RoleLensError(
            "the file doesn't say whether its layers are inputs or outputs of their blocks: name a "
            "convention, input or output"
        )
    (convention,) = known
    return Imported({role: by_layer}, "input" if convention == "input" else "output")
