"""Holds the ways of scoring options by likelihood, one file each: `letter`, `cloze`.

A file defines `METHOD`, a `role_lens.scoring.ScoringMethod`. Its name is the name of the method, in
`Asking` and on the command line (`--scoring`).
"""
