r"""The picture of the README, from the results of three runs on the packaged model.

    python analyses/geometry.py --out geometry
    python analyses/logit_lens.py --out logit-lens
    role-lens compare --vectors roles-bf16.safetensors --questions mmlu_domains \
        --validation mmlu/val --max-questions 60 --max-off-domain 0 --dtype bfloat16 --out verdict
    python docs/overview.py

The words are those of the first role of each domain, whatever they say.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro
from matplotlib.figure import Figure

from role_lens.reporting import CONTRAST_STYLE, Results, draw_effects, save_figure


@dataclass(frozen=True)
class Config:
    """Where the results are."""

    geometry: Path = Path("geometry")
    """Folder of the analysis, as the next one."""
    logit_lens: Path = Path("logit-lens")
    comparison: Path = Path("verdict")
    """Folder of `role-lens compare`."""
    out: Path = Path(__file__).parent / "figures" / "overview.png"
    """File that is written."""
    layer: int = 29
    """Where words are read."""


def draw(config: Config) -> None:
    """Separable, legible, and of what use: three panels."""
    judged = pd.read_parquet(config.comparison / "comparison.parquet")
    judged = judged[judged["in_domain"]].sort_values(["domain", "role"])
    figure = Figure(figsize=(12, 7), layout="constrained")
    found_and_read, verdict = figure.subfigures(1, 2, width_ratios=[1, 1.3])
    found, read = found_and_read.subplots(2, 1)

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
    firsts = judged.drop_duplicates("domain")["role"]
    read.axis("off")
    read.set_title(f"Read: what it says through the unembedding, layer {config.layer}", fontsize=10)
    for row, role in enumerate(firsts):
        height = 0.92 - row / len(firsts)
        read.text(0.0, height, role, transform=read.transAxes, fontsize=8, va="center")
        tokens = "  ".join(f"“{token.strip()}”" for token in said[role][:5])
        read.text(0.38, height, tokens, transform=read.transAxes, fontsize=8, va="center")

    axis = verdict.subplots()
    draw_effects(axis, judged, names=list(judged["role"]))
    axis.set_title("Judged: on held-out questions of its own domain", fontsize=10, pad=20)
    save_figure(figure, config.out)


if __name__ == "__main__":
    draw(tyro.cli(Config))
