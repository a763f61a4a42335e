"""Reads control vectors of llama.cpp and repeng: a GGUF file with `direction.<N>`.

    import_vectors(model, "happy.gguf")

`direction.N` is added to the output of block N, so that it is layer N + 1 here.
"""

from pathlib import Path

import torch

from role_lens.errors import RoleLensError
from role_lens.interop.import_options import ImportOptions
from role_lens.interop.imported import Imported


def read(path: Path, options: ImportOptions) -> Imported:
    """The directions of one role, by block."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
    except (ValueError, OSError, IndexError) as error:
        raise RoleLensError(f"it is no readable GGUF file: {error}") from error
    directions, other = {}, []
    for tensor in reader.tensors:
        head, _, number = tensor.name.rpartition(".")
        if head == "direction" and number.isdigit():
            directions[int(number)] = torch.from_numpy(tensor.data.astype("float32"))
        else:
            other.append(tensor.name)
    if not directions:
        raise RoleLensError(
            "it holds no control vector, whose tensors are called direction.1, direction.2, …; got "
            + (", ".join(other[:3]) or "no tensors")
        )
    field = reader.get_field("controlvector.model_hint")
    hint = str(bytes(field.parts[-1]), "utf-8", "replace") if field is not None else None
    return Imported({options.role or path.stem: directions}, "output", {"model_hint": hint})
