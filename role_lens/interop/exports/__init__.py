"""The file formats in which patches leave the package, one file each: `safetensors`, `gguf`,
`npz`, `pt`.

    export_patch(vectors.add("economist", layer=15), "economist.gguf")

A file defines `write(patches, path, about)`; its name is the name of the format.
"""
