"""Holds the kinds of patch, one file each: `add`, `add_normed`, `ablate`, `cap`,
`clamp`, `floor`, `rotate`.

A file defines `KIND`, a `role_lens.patches.PatchKind`. Its name is the name of the kind, in Python
(`Patch.of`, `RoleVectors.patch`, `Grid(kinds=...)`) and on the command line (`--kinds`).
"""
