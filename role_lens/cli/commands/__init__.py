"""The commands of `role-lens`, one file each: `fit`, `info`, `steer`, `evaluate`, `sweep`, `compare`,
`lm_eval`, `demo`.

A file defines `run`, whose arguments are the options; its name is the name of the command. At its
top it imports nothing heavy, so that help and mistyped options are answered at once: what a command
needs is loaded through `role_lens` when it runs.
"""
