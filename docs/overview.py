r"""The picture of the README, from the results of three runs on the packaged model.

    python analyses/geometry.py --out geometry
    python analyses/logit_lens.py --out logit-lens
    role-lens compare --vectors roles.safetensors --questions mmlu --validation mmlu \
        --max-questions 60 --max-off-domain 0 --dtype bfloat16 --out verdict
    python docs/overview.py

The words are those of the first role of each domain, whatever they say.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from matplotlib.figure import Figure

from role_lens.analysis import Results
from role_lens.figures import CONTRAST_STYLE, save_figure


@dataclass(frozen=True)
class Config:
    """Where the results are."""

    geometry: Path = Path("geometry")
    logit_lens: Path = Path("logit-lens")
    comparison: Path = Path("verdict")
    out: Path = Path(__file__).parent / "figures" / "overview.png"
    layer: int = 29
    """Where words are read."""


def draw(config: Config) -> None:
    """Separable, legible, and of what use: three panels."""
    judged = pd.read_parquet(config.comparison / "comparison.parquet")
    judged = judged[judged["in_domain"]].sort_values(["domain", "role"])
    figure = Figure(figsize=(11, 7), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.25])
    left, right = upper.subplots(1, 2, width_ratios=[1, 1.9])

    separable = Results.read(config.geometry).tables["separable"]
    for contrast, style in CONTRAST_STYLE.items():
        part = separable[separable["contrast"] == contrast].groupby("layer")["auc"]
        left.plot(part.mean(), **style)
        left.fill_between(
            part.mean().index, part.min(), part.max(), color=style["color"], alpha=0.12
        )
    left.axhline(0.5, color="grey", linewidth=0.8, label="chance")
    left.set(xlabel="layer", ylabel="AUC, held-out prompts", ylim=(0.4, 1.02))
    left.set_title("Found: a direction for each role, at every layer", fontsize=10)
    left.legend(frameon=False, fontsize=8, loc="lower right")

    words = Results.read(config.logit_lens).tables["words"]
    at = (words["contrast"] == "roles") & (words["layer"] == config.layer)
    said = words[at].set_index("role")["tokens"]
    firsts = judged.drop_duplicates("domain")["role"]
    right.axis("off")
    right.set_title(
        f"Read: what it says through the unembedding, layer {config.layer}", fontsize=10
    )
    for row, role in enumerate(firsts):
        height = 0.92 - row / len(firsts)
        right.text(0.0, height, role, transform=right.transAxes, fontsize=9, va="center")
        tokens = "  ".join(f"“{token.strip()}”" for token in said[role][:5])
        right.text(0.27, height, tokens, transform=right.transAxes, fontsize=9, va="center")

    axis = lower.subplots()
    places = np.arange(len(judged))
    axis.bar(
        places,
        judged["random_high"] - judged["random_low"],
        0.8,
        bottom=judged["random_low"],
        color="#d9d9d9",
        label="random directions, chosen alike",
    )
    error = np.stack([judged["add"] - judged["low"], judged["high"] - judged["add"]])
    axis.errorbar(
        places,
        judged["add"],
        yerr=error,
        fmt="o",
        markersize=4,
        elinewidth=1,
        color="#1f3b73",
        label="role vector added, 90 % interval",
    )
    axis.plot(
        places,
        judged["persona"],
        "D",
        markersize=4,
        markerfacecolor="white",
        markeredgecolor="#d9822b",
        label="persona prompt",
    )
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(places, judged["role"], rotation=55, ha="right", fontsize=7.5)
    axis.set_ylabel("change of log p(correct), nats")
    axis.set_title(
        "Judged: on held-out questions of its own domain, beside what it has to beat", fontsize=10
    )
    axis.use_sticky_edges = False
    axis.margins(x=0.01, y=0.12)  # room for the legend
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    save_figure(figure, config.out)


if __name__ == "__main__":
    draw(tyro.cli(Config))
