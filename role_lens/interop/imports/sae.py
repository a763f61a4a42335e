"""Reads rows of a sparse autoencoder's decoder: a folder as SAELens writes it.

    import_vectors(model, "sae", ImportOptions(rows=(1234, 77)))

Each row is a role of its own, `latent 1234`.
"""

from pathlib import Path

from role_lens.errors import RoleLensError
from role_lens.interop.import_options import ImportOptions
from role_lens.interop.imported import Imported
from role_lens.sae_folder import read_sae


def read(path: Path, options: ImportOptions) -> Imported:
    """The decoder's rows of some latents, at the layer of the SAE."""
    sae = read_sae(path)
    n = len(sae.decoder)
    if not options.rows:
        raise RoleLensError(f"name the latents with rows: it has 0 to {n - 1}")
    for row in options.rows:
        if not 0 <= row < n:
            raise RoleLensError(f"it has no latent {row}: it has 0 to {n - 1}")
    if options.role is not None and len(options.rows) > 1:
        raise RoleLensError("one name for several latents: leave role out")
    directions = {
        options.role or f"latent {row}": {sae.block: sae.decoder[row]} for row in options.rows
    }
    about = {"hook_of_sae": sae.hook, "latents": list(options.rows)}
    return Imported(directions, sae.convention, about)
