"""The file formats in which directions leave the package, one file each: `npz`.

A file defines `write(vectors, specs, path)`; its name is the name of the format, for
`export_vectors`.
"""
