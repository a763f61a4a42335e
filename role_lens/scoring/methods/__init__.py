"""The ways of scoring multiple-choice questions by likelihood, one file each: `letter`, `cloze`.

A file defines `METHOD`, a `role_lens.scoring.method.ScoringMethod`; its name is the name of the
method, in `Asking` and on the command line.
"""
