r"""The picture of the README, from the results of runs on the packaged model.

    python analyses/geometry.py --out geometry
    python analyses/logit_lens.py --out logit-lens
    role-lens compare --vectors roles.safetensors --scoring cloze --max-off-domain 0 --out verdict
    python docs/overview.py --comparison verdict

The words are those of the first role of each domain, whatever they say.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from role_lens.questions import DOMAIN_ROLES
from role_lens.reporting import CONTRAST_STYLE, Results, draw_excess, save_figure


@dataclass(frozen=True)
class Config:
    """Where the results are."""

    geometry: Path = Path("geometry")
    """Folder of the analysis, as the next one."""
    logit_lens: Path = Path("logit-lens")
    comparison: Path | None = None
    """Folder of `role-lens compare`; None for a picture without a verdict."""
    out: Path = Path(__file__).parent / "figures" / "overview.png"
    """File that is written."""
    layer: int = 29
    """Where words are read."""


def draw(config: Config) -> None:
    """Separable, legible, and of what use: a panel each."""
    if config.comparison is None:
        figure = Figure(figsize=(12 / 2.3, 7), layout="constrained")
        found, read = figure.subplots(2, 1)
    else:
        figure = Figure(figsize=(12, 7), layout="constrained")
        found_and_read, verdict = figure.subfigures(1, 2, width_ratios=[1, 1.3])
        found, read = found_and_read.subplots(2, 1)
        draw_verdict(verdict.subplots(), config.comparison)

    separable = Results.read(config.geometry).tables["separable"]
    for contrast, style in CONTRAST_STYLE.items():
        part = separable[separable["contrast"] == contrast].groupby("layer")["auc"]
        found.plot(part.mean(), **style)
        found.fill_between(
            part.mean().index, part.min(), part.max(), color=style["color"], alpha=0.12
        )
    found.axhline(0.5, color="grey", linewidth=0.8, label="chance")
    found.set(xlabel="layer", ylabel="AUC, held-out prompts", ylim=(0.4, 1.02))
    found.set_title("Found: a direction for each role, at every layer", fontsize=10)
    found.legend(edgecolor="white", framealpha=1, fontsize=8, loc="lower right")

    words = Results.read(config.logit_lens).tables["words"]
    at = (words["contrast"] == "roles") & (words["layer"] == config.layer)
    said = words[at].set_index("role")["tokens"]
    of_domains = (sorted({*roles} & {*said.index}) for roles in DOMAIN_ROLES.values())
    firsts = [roles[0] for roles in of_domains if roles]
    read.axis("off")
    read.set_title(f"Read: what it says through the unembedding, layer {config.layer}", fontsize=10)
    for row, role in enumerate(firsts):
        height = 0.92 - row / len(firsts)
        read.text(0.0, height, role, transform=read.transAxes, fontsize=8, va="center")
        tokens = "  ".join(f"“{token.strip()}”" for token in said[role][:5])
        read.text(0.38, height, tokens, transform=read.transAxes, fontsize=8, va="center")

    save_figure(figure, config.out)


def draw_verdict(axis: Axes, comparison: Path) -> None:
    """What adding each role's direction does beyond random ones."""
    judged = pd.read_parquet(comparison / "comparison.parquet")
    judged = judged[judged["in_domain"] & judged["excess"].notna()].sort_values(["domain", "role"])
    draw_excess(axis, judged, names=list(judged["role"]))
    axis.set_title("Judged: on held-out questions of its own domain", fontsize=10, pad=20)


if __name__ == "__main__":
    draw(tyro.cli(Config))
