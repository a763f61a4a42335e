"""What kind of directions are these: how alike, how separable, how sure?

    python analyses/geometry.py --out geometry
    python analyses/geometry.py --out geometry --redraw

Cosines between all roles, their principal components and tree; how much of each direction is
shared by all roles; whether held-out prompts can be told apart along them; how stable they are
against the number of prompts; and which prompts pull them most.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster import hierarchy

from role_lens.activations import activations_at
from role_lens.analysis import Results, Setup, main
from role_lens.directions import cosine_similarity, principal_components
from role_lens.evaluation.domains import home_domains
from role_lens.figures import CONTRAST_STYLE, plot_cosines, save_figure
from role_lens.fitting import check_prompts
from role_lens.prompts import load_prompts, load_roles
from role_lens.readout.geometry import geometry_by_layer, role_tree
from role_lens.readout.stability import (
    bootstrap_cosines,
    held_out_auc,
    leave_one_out,
    stability_by_number,
)
from role_lens.report import Report
from role_lens.tokens import encode_chat

MARKERS = "osD^v<>PX"


@dataclass(frozen=True)
class Config:
    """What is looked at."""

    setup: Setup
    position: int = -1
    """Token position, from the end of the formatted prompt."""
    layer: int | None = None
    """Layer of the pictures of single layers; default: three quarters up."""
    layer_step: int = 3
    """Every how many layers single prompts are looked at."""
    numbers: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    """Numbers of prompts for the stability."""
    repeats: int = 50
    """Random halves and resamples for each."""


def run(config: Config) -> Results:
    """Fit or load, look, and write tables."""
    setup, position = config.setup, config.position
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    prompts, base = load_roles(*setup.prompts), load_prompts(setup.base)
    check_prompts(vectors.provenance, prompts, base)
    place = vectors.positions.index(position)
    layer = 3 * vectors.n_layers // 4 if config.layer is None else config.layer
    every = () if setup.quick else range(1, vectors.n_layers, config.layer_step)
    layers = sorted({*every, layer})
    repeats = 5 if setup.quick else config.repeats

    cosines, components, merges, orders = [], [], [], []
    for contrast in vectors.contrasts:
        at = vectors.directions(contrast)[:, place, layer]
        matrix = cosine_similarity(at)
        cosines += [
            (contrast, a, b, float(matrix[i, j]))
            for i, a in enumerate(vectors.roles)
            for j, b in enumerate(vectors.roles)
        ]
        coordinates, explained = principal_components(at, 2)
        components += [
            (contrast, role, *map(float, row), *map(float, explained))
            for role, row in zip(vectors.roles, coordinates, strict=True)
        ]
        joined, order = role_tree(matrix)
        merges += [(contrast, *row) for row in joined.tolist()]
        orders += [(contrast, vectors.roles[index]) for index in order]

    system = vectors.provenance["system"]
    texts = [*base, *(text for role in vectors.roles for text in prompts[role])]
    kinds = np.array(["", *vectors.roles]).repeat([len(base), *map(len, _own(prompts, vectors))])
    where = [(one, position) for one in layers]
    activations = activations_at(model, encode_chat(model, texts, system), where)
    separable, stable, pulls = [], [], []
    for role in vectors.roles:
        mine = np.flatnonzero(kinds == role)
        for contrast in vectors.contrasts:
            rest = kinds == "" if contrast == "base" else (kinds != role) & (kinds != "")
            theirs = np.flatnonzero(rest)
            for one, at in zip(layers, activations, strict=True):
                auc = held_out_auc(at[mine], at[theirs], seed=setup.seed)
                resampled = bootstrap_cosines(
                    at[mine], at[theirs], repeats=repeats, seed=setup.seed
                )
                row = (auc, float(resampled.mean()), float(resampled.quantile(0.05)))
                separable.append((role, contrast, one, *row))
            at = activations[layers.index(layer)]
            table = stability_by_number(
                at[mine], at[theirs], config.numbers, repeats=repeats, seed=setup.seed
            )
            stable.append(table.assign(role=role, contrast=contrast))
            if contrast == "base":
                turned = leave_one_out(at[mine], at[theirs])
                pulls += [
                    (role, texts[mine[i]], float(turned[i]))
                    for i in turned.argsort(descending=True)
                ]
    results = Results.of(
        config,
        model,
        by_layer=geometry_by_layer(vectors),
        cosines=_table(cosines, "contrast role other cosine"),
        components=_table(components, "contrast role first second explained_1 explained_2"),
        merges=_table(merges, "contrast one other distance size"),
        orders=_table(orders, "contrast role"),
        separable=_table(separable, "role contrast layer auc bootstrap_cosine bootstrap_low"),
        stable=pd.concat(stable, ignore_index=True),
        pulls=_table(pulls, "role prompt turn"),
    )
    results.write(setup.out)
    return results


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    settings = results.record["settings"]
    tables, position = results.tables, settings["position"]
    by_layer = tables["by_layer"]
    by_layer = by_layer[(by_layer["position"] == position) & by_layer["mean_cosine"].notna()]
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = (
        ("mean_cosine", "cosine of two roles, mean", 0.0),
        ("shared", "share of squared length\nalong the mean of all roles", 0.0),
        ("auc", "AUC, held-out prompts, mean", 0.5),
    )
    separable = tables["separable"].groupby(["contrast", "layer"])["auc"]
    lines = separable.agg(["mean", "min", "max"]).reset_index()
    for axis, (name, label, level) in zip(figure.subplots(1, 3), panels, strict=True):
        for contrast, style in CONTRAST_STYLE.items():
            part = by_layer[by_layer["contrast"] == contrast]
            if name == "auc":
                part = lines[lines["contrast"] == contrast]
                shade = {"color": style["color"], "alpha": 0.15}
                axis.fill_between(part["layer"], part["min"], part["max"], **shade)
            axis.plot(part["layer"], part["mean" if name == "auc" else name], **style)
        axis.axhline(level, color="grey", linewidth=0.8)
        axis.set(xlabel=f"layer (position {position})", ylabel=label)
    figure.axes[0].legend(frameon=False, fontsize=8)
    save_figure(figure, folder / "by_layer.png")

    contrasts = list(dict.fromkeys(tables["cosines"]["contrast"]))
    order = tables["orders"]
    cosines = {}
    for contrast in contrasts:
        roles = order.loc[order["contrast"] == contrast, "role"].tolist()
        part = tables["cosines"][tables["cosines"]["contrast"] == contrast]
        matrix = part.pivot(index="role", columns="other", values="cosine")
        cosines[f"contrast {contrast}"] = matrix.loc[roles, roles]
    plot_cosines(cosines, folder / "cosines.png")

    figure = Figure(figsize=(11, 6), layout="constrained")
    left, right = figure.subplots(1, 2)
    contrast = contrasts[-1]
    part = tables["components"][tables["components"]["contrast"] == contrast]
    homes = home_domains()
    domains = [homes.get(role, "other") for role in part["role"]]
    for marker, domain in zip(MARKERS, dict.fromkeys(domains), strict=False):
        some = part[[one == domain for one in domains]]
        left.scatter(some["first"], some["second"], marker=marker, s=36, label=domain)
        for row in some.itertuples():
            left.annotate(
                row.role,
                (row.first, row.second),
                fontsize=6.5,
                xytext=(3, 3),
                textcoords="offset points",
            )
    share = part[["explained_1", "explained_2"]].iloc[0]
    left.set(
        xlabel=f"first component ({share.iloc[0]:.0%} of the variance)",
        ylabel=f"second component ({share.iloc[1]:.0%})",
        title=f"contrast {contrast}",
    )
    left.margins(x=0.14)  # room for the names
    left.axhline(0, color="grey", linewidth=0.6)
    left.axvline(0, color="grey", linewidth=0.6)
    left.legend(fontsize=7, frameon=False)
    merges = tables["merges"][tables["merges"]["contrast"] == contrast]
    roles = list(dict.fromkeys(tables["cosines"]["role"]))
    hierarchy.dendrogram(
        merges[["one", "other", "distance", "size"]].to_numpy(),
        labels=roles,
        orientation="left",
        ax=right,
        color_threshold=0,
        above_threshold_color="#1f3b73",
        leaf_font_size=7,
    )
    right.set_xlabel("1 - cosine, average linkage")
    save_figure(figure, folder / "families.png")

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    for contrast, style in CONTRAST_STYLE.items():
        part = tables["stable"][tables["stable"]["contrast"] == contrast]
        found = part.groupby("n")["split_half"].agg(["mean", "min", "max"])
        axis.plot(found.index, found["mean"], marker="o", **style)
        axis.fill_between(found.index, found["min"], found["max"], color=style["color"], alpha=0.15)
    axis.set(
        xscale="log",
        xlabel="prompts of the role",
        ylabel="cosine of two disjoint halves",
        ylim=(0, 1),
    )
    numbers = sorted(set(tables["stable"]["n"]))
    axis.set_xticks(numbers, numbers)
    axis.minorticks_off()
    axis.legend(frameon=False)
    save_figure(figure, folder / "stability.png")

    report = Report("Geometry of role directions", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "by_layer.png",
        "Likeness, shared part, and separability of held-out prompts, by layer (shaded: the range "
        "of all roles; grey: zero or chance).",
    )
    report.figure(folder / "cosines.png", "Cosine of every two roles, in the order of their trees.")
    report.figure(
        folder / "families.png", "Roles on their first two principal components, and their tree."
    )
    report.figure(
        folder / "stability.png",
        "Directions from two disjoint sets of prompts (line: mean over roles; shaded: all roles).",
    )
    strongest = tables["pulls"].groupby("role", sort=False).head(2)
    report.table(
        strongest,
        "The two prompts that turn each direction most when left out (1 - cosine, contrast base).",
    )
    report.write(folder / "report.html")


def _own(prompts, vectors):
    return (prompts[role] for role in vectors.roles)


def _table(rows, names: str) -> pd.DataFrame:
    return pd.DataFrame.from_records(rows, columns=names.split())


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
