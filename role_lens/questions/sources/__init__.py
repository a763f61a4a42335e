"""Holds the named sources of questions, one file each: `builtin`, `mmlu`.

A file defines `load(split) -> list[Question]`. Its name is the name of the source, for
`load_questions` and on the command line (`--questions`).
"""
