"""Choose, test, compare: sweeps, selection, controls and verdicts, in folders that a stopped run goes
on with.

    from role_lens.experiments import Exam, Selection, TestPlan, compare
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
