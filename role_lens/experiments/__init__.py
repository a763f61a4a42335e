"""Runs experiments: sweeps, selection of directions, comparisons with controls, and their verdicts.

    from role_lens.experiments import Exam, Selection, TestPlan, compare

    table = compare(model, vectors, Exam(questions), "verdict", Selection(), TestPlan())
    table[["role", "add", "verdict"]]

Results are kept in run folders: a run that was stopped goes on where it was.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
