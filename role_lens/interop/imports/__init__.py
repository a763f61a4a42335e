"""Holds the formats in which other programs keep directions, one file each.

A file defines `read(path, options)`, which gives the directions of each role by layer; its name is
the name of the format, which is a file's ending, or `sae` for a folder of SAELens.
"""
