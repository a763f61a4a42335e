"""The file formats in which directions leave the package, one file each: `npz`.

    export_vectors(vectors, [DirectionSpec("economist", layer=15)], "economist.npz")

A file defines `write(vectors, specs, path)`; its name is the name of the format.
"""
