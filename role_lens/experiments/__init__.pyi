from .calibration import Declared, declared_improved, drawn_changes, resampled_changes
from .comparison import compare
from .condition_kinds import ConditionKind, Pair
from .condition_scores import open_conditions, score_conditions
from .conditions import Condition, baseline, judged_conditions, persona_conditions
from .controls import rotated, shared_and_specific, shuffled_directions
from .judgement import LEVEL, DomainScores, judge, measure, summary, tally, verdict
from .null_band import RandomChoice, choose_random
from .options import MIN_RANDOM, Exam, Grid, Selection, TestPlan
from .random_sweep import sweep_random
from .selection import Choice, best_first, folder_of, select, select_by_domain
from .store import TABLE, Store, open_store
from .sweeps import open_sweep, read_changes, read_sweep, sweep, sweep_asked

__all__ = [
    "LEVEL",
    "MIN_RANDOM",
    "TABLE",
    "Choice",
    "Condition",
    "ConditionKind",
    "Declared",
    "DomainScores",
    "Exam",
    "Grid",
    "Pair",
    "RandomChoice",
    "Selection",
    "Store",
    "TestPlan",
    "baseline",
    "best_first",
    "choose_random",
    "compare",
    "declared_improved",
    "drawn_changes",
    "folder_of",
    "judge",
    "judged_conditions",
    "measure",
    "open_conditions",
    "open_store",
    "open_sweep",
    "persona_conditions",
    "read_changes",
    "read_sweep",
    "resampled_changes",
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
]
