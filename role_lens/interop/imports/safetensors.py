"""Reads safetensors: a tensor for each layer, or one of layer x d_model.

    import_vectors(model, "happy.safetensors", ImportOptions(layer_map={"steering": 12}))

Files that `RoleVectors.save` wrote are read by `RoleVectors.load`.
"""

from pathlib import Path

from role_lens.errors import RoleLensError
from role_lens.interop.import_options import ImportOptions
from role_lens.interop.imported import Imported, of_plain_arrays
from role_lens.vector_file import read_safetensors


def read(path: Path, options: ImportOptions) -> Imported:
    """The directions of one role, by layer."""
    metadata, tensors = read_safetensors(path)
    if "role_lens" in metadata:
        raise RoleLensError("it holds role vectors of this package: read it with RoleVectors.load")
    return of_plain_arrays(tensors, path, options)
