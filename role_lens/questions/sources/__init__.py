"""Where questions come from, one file each: `builtin`, `mmlu`.

A file defines `load(split) -> list[Question]`; its name is the name of the source, for
`load_questions` and on the command line.
"""
