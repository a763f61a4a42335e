"""The commands of `role-lens`, one file each, such as `fit`, `steer` and `compare`.

    role-lens lm-eval --help    # the options of `run` in lm_eval.py

A file defines `run`, whose arguments are the options; the file's name, with hyphens, is the name of
the command. At its top a file imports nothing heavy, so that help and mistyped options are answered
at once: what a command needs is loaded through `role_lens` when it runs.
"""
