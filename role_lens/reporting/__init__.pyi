from .analysis import QUICK_ROLE_PROMPTS, Results, Setup, every_layer, main, place_of
from .figures import (
    CONTRAST_STYLE,
    OUTLINED,
    draw_excess,
    heat_map,
    label_points,
    plot_by_layer,
    plot_comparison,
    plot_cosines,
    plot_scores,
    plot_transfer,
    save_figure,
)
from .options import ModelOptions, QuestionOptions
from .report import Report
from .steering_figures import plot_conversations, plot_strengths
from .terminal import reported, say

__all__ = [
    "CONTRAST_STYLE",
    "OUTLINED",
    "QUICK_ROLE_PROMPTS",
    "ModelOptions",
    "QuestionOptions",
    "Report",
    "Results",
    "Setup",
    "draw_excess",
    "every_layer",
    "heat_map",
    "label_points",
    "main",
    "place_of",
    "plot_by_layer",
    "plot_comparison",
    "plot_conversations",
    "plot_cosines",
    "plot_scores",
    "plot_strengths",
    "plot_transfer",
    "reported",
    "save_figure",
    "say",
]
