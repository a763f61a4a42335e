"""Reads numpy's archives: an array for each layer, or one of layer x d_model.

    import_vectors(model, "happy.npz", ImportOptions(convention="output"))

The names of arrays hold their layers, such as `layer.12`.
"""

import zipfile
from pathlib import Path

import numpy as np

from role_lens.errors import RoleLensError, first_line
from role_lens.interop.import_options import ImportOptions
from role_lens.interop.imported import Imported, of_plain_arrays


def read(path: Path, options: ImportOptions) -> Imported:
    """The directions of one role, by layer."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError) as error:
        raise RoleLensError(
            f"it is no readable archive of arrays of numbers: {first_line(error)}"
        ) from error
    return of_plain_arrays(arrays, path, options)
