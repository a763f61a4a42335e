from .comparison import compare
from .comparison_scores import read_scores
from .condition_kinds import ConditionKind, Pair
from .condition_scores import open_conditions, score_conditions
from .conditions import (
    Condition,
    baseline,
    judged_conditions,
    persona_conditions,
    random_ablations,
)
from .controls.control_directions import (
    random_directions,
    rotated,
    shared_and_specific,
    shuffled_directions,
)
from .controls.learned import Learning, learn_addition
from .controls.must_be_found import positive_controls
from .controls.null_band import RandomChoice, choose_random
from .controls.personas import choose_personas
from .controls.random_sweep import sweep_random
from .finders_compared import compare_finders
from .handed_over import about_direction, judged_patch, judged_roles, with_verdicts
from .judging.calibration import Declared, World, declared
from .judging.effects import DomainScores, measure
from .judging.judgement import judge, knowledge
from .judging.summaries import pooled, summary, tally
from .judging.verdicts import BOUND, LEVEL, Finding, verdict
from .options import MIN_RANDOM, Exam, Grid, Selection, TestPlan
from .patch_judged import judge_patch
from .selection import Choice, best_first, folder_of, select, select_by_domain
from .store import TABLE, Store, open_store
from .sweeps import open_sweep, read_changes, read_sweep, sweep, sweep_asked

__all__ = [
    "BOUND",
    "LEVEL",
    "MIN_RANDOM",
    "TABLE",
    "Choice",
    "Condition",
    "ConditionKind",
    "Declared",
    "DomainScores",
    "Exam",
    "Finding",
    "Grid",
    "Learning",
    "Pair",
    "RandomChoice",
    "Selection",
    "Store",
    "TestPlan",
    "World",
    "about_direction",
    "baseline",
    "best_first",
    "choose_personas",
    "choose_random",
    "compare",
    "compare_finders",
    "declared",
    "folder_of",
    "judge",
    "judge_patch",
    "judged_conditions",
    "judged_patch",
    "judged_roles",
    "knowledge",
    "learn_addition",
    "measure",
    "open_conditions",
    "open_store",
    "open_sweep",
    "persona_conditions",
    "pooled",
    "positive_controls",
    "random_ablations",
    "random_directions",
    "read_changes",
    "read_scores",
    "read_sweep",
    "rotated",
    "score_conditions",
    "select",
    "select_by_domain",
    "shared_and_specific",
    "shuffled_directions",
    "summary",
    "sweep",
    "sweep_asked",
    "sweep_random",
    "tally",
    "verdict",
    "with_verdicts",
]
