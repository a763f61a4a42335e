"""What kind of directions are these: how alike, how separable, how sure?

    python analyses/geometry.py --out geometry
    python analyses/geometry.py --out geometry --redraw

Cosines between all roles, their principal components and tree; how much of each direction is
shared by all roles; whether held-out prompts can be told apart along them; how stable they are
against the number of prompts; and which prompts pull them most.
"""

import itertools
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster import hierarchy

from role_lens._run.activations import activations_at
from role_lens._run.tokens import encode_chat
from role_lens.directions import cosine_similarity, principal_components
from role_lens.errors import RoleLensError
from role_lens.prompts import spread
from role_lens.questions.domains import home_domains
from role_lens.reading.geometry import geometry_by_layer, likeness_by_chance, role_tree
from role_lens.reading.stability import (
    bootstrap_cosines,
    held_out_auc,
    leave_one_out,
    stability_by_number,
)
from role_lens.reporting.analysis import (
    QUICK_ROLE_PROMPTS,
    Results,
    Setup,
    every_layer,
    main,
    place_of,
)
from role_lens.reporting.figures import CONTRAST_STYLE, label_points, plot_cosines, save_figure
from role_lens.reporting.report import Report

MARKERS = "osD^v<>PX"
FEWEST_ROLES = 3  # of a tree, and of two components


@dataclass(frozen=True)
class Config:
    """What is looked at."""

    setup: Setup
    position: int = -1
    """Token position, from the end of the formatted prompt."""
    layer: int | None = None
    """Layer of the cosines and the stability; default: three quarters up. Components and tree are
    drawn a third up and at the last layer too."""
    layer_step: int = 3
    """Every how many layers the separation (held-out AUC) is computed."""
    numbers: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    """Numbers of prompts for the stability."""
    repeats: int = 50
    """Random halves and resamples for each."""


def run(config: Config) -> Results:
    """Fit or load, look, and write tables."""
    setup, position = config.setup, config.position
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    setup.check_prompts(vectors)
    # A prompt that is there twice would stand on both sides of what is held out.
    prompts = {role: _distinct(texts) for role, texts in setup.role_prompts().items()}
    if setup.quick:
        prompts = {role: spread(texts, QUICK_ROLE_PROMPTS) for role, texts in prompts.items()}
    base = _distinct(setup.base_prompts())
    place, layer = place_of(vectors, position, config.layer)
    every = () if setup.quick else every_layer(vectors, config.layer_step)
    layers = sorted({*every, layer})
    repeats = 5 if setup.quick else config.repeats

    cosines, components, merges, orders = [], [], [], []
    last = vectors.n_layers - 1
    shown = sorted({min(max(1, vectors.n_layers // 3), last), layer, last})
    for contrast, one in itertools.product(vectors.contrasts, shown):
        at = vectors.directions(contrast)[:, place, one]
        matrix = cosine_similarity(at)
        if matrix.isnan().any():
            raise RoleLensError(
                f"layer {one} holds no direction at position {position}: its input is the same for "
                "all prompts"
            )
        cosines += [
            (contrast, one, a, b, float(matrix[i, j]))
            for i, a in enumerate(vectors.roles)
            for j, b in enumerate(vectors.roles)
        ]
        if len(vectors.roles) < FEWEST_ROLES:
            continue
        coordinates, explained = principal_components(at, 2)
        components += [
            (contrast, one, role, *map(float, row), *map(float, explained))
            for role, row in zip(vectors.roles, coordinates, strict=True)
        ]
        joined, order = role_tree(matrix)
        merges += [(contrast, one, *row) for row in joined.tolist()]
        orders += [(contrast, one, vectors.roles[index]) for index in order]

    system = vectors.provenance["system"]
    texts = [*base, *(text for role in vectors.roles for text in prompts[role])]
    numbers = [len(base), *(len(prompts[role]) for role in vectors.roles)]
    kinds = np.array(["", *vectors.roles]).repeat(numbers)
    where = [(one, position) for one in layers]
    activations = activations_at(model, encode_chat(model, texts, system), where)
    separable, stable, resampled, pulls = [], [], [], []
    for role in vectors.roles:
        mine = np.flatnonzero(kinds == role)
        for contrast in vectors.contrasts:
            rest = kinds == "" if contrast == "base" else (kinds != role) & (kinds != "")
            theirs = np.flatnonzero(rest)
            for one, at in zip(layers, activations, strict=True):
                auc = held_out_auc(at[mine], at[theirs], seed=setup.seed)
                separable.append((role, contrast, one, auc))
            at = activations[layers.index(layer)]
            table = stability_by_number(
                at[mine], at[theirs], config.numbers, repeats=repeats, seed=setup.seed
            )
            stable.append(table.assign(role=role, contrast=contrast))
            for n in (n for n in config.numbers if 1 <= n <= len(mine)):
                drawn = bootstrap_cosines(
                    at[mine], at[theirs], n=n, repeats=repeats, seed=setup.seed
                )
                resampled.append((role, contrast, n, float(drawn.mean())))
            if contrast == "base":
                turned = leave_one_out(at[mine], at[theirs])
                pulls += [
                    (role, texts[mine[i]], float(turned[i]))
                    for i in turned.argsort(descending=True)
                ]
    results = Results.of(
        replace(config, layer=layer),
        model,
        vectors,
        by_layer=geometry_by_layer(vectors),
        by_chance=likeness_by_chance(vectors),
        cosines=_table(cosines, "contrast layer role other cosine"),
        components=_table(components, "contrast layer role first second explained_1 explained_2"),
        merges=_table(merges, "contrast layer one other distance size"),
        orders=_table(orders, "contrast layer role"),
        separable=_table(separable, "role contrast layer auc"),
        stable=pd.concat(stable, ignore_index=True),
        resampled=_table(resampled, "role contrast n cosine"),
        pulls=_table(pulls, "role prompt turn"),
    )
    results.write(setup.out)
    return results


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    settings = results.record["settings"]
    tables, position, layer = results.tables, settings["position"], settings["layer"]
    contrasts = list(dict.fromkeys(tables["cosines"]["contrast"]))
    by_layer = tables["by_layer"]
    by_layer = by_layer[(by_layer["position"] == position) & by_layer["mean_cosine"].notna()]
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = (
        ("mean_cosine", "cosine of two roles, mean"),
        ("shared", "share of squared length\nalong the mean of all roles"),
        ("auc", "AUC, held-out prompts, mean"),
    )
    by_chance = tables["by_chance"].set_index("contrast").assign(auc=0.5)
    separable = tables["separable"].groupby(["contrast", "layer"])["auc"]
    lines = separable.agg(["mean", "min", "max"]).reset_index()
    for axis, (name, label) in zip(figure.subplots(1, 3), panels, strict=True):
        for contrast in contrasts:
            style = CONTRAST_STYLE[contrast]
            part = by_layer[by_layer["contrast"] == contrast]
            if name == "auc":
                part = lines[lines["contrast"] == contrast]
                shade = {"color": style["color"], "alpha": 0.15}
                axis.fill_between(part["layer"], part["min"], part["max"], **shade)
            axis.plot(part["layer"], part["mean" if name == "auc" else name], **style)
            chance = {"color": style["color"], "linestyle": ":", "linewidth": 1.2}
            label_once = "by chance" if contrast == contrasts[-1] else None
            axis.axhline(by_chance.loc[contrast, name], label=label_once, **chance)
        axis.set(xlabel=f"layer (position {position})", ylabel=label)
    figure.axes[0].legend(frameon=False, fontsize=8)
    save_figure(figure, folder / "by_layer.png")

    at_layer = tables["cosines"][tables["cosines"]["layer"] == layer]
    order = tables["orders"][tables["orders"]["layer"] == layer]
    cosines = {}
    for contrast in contrasts:
        part = at_layer[at_layer["contrast"] == contrast]
        roles = order.loc[order["contrast"] == contrast, "role"].tolist()
        roles = roles or list(dict.fromkeys(part["role"]))
        matrix = part.pivot(index="role", columns="other", values="cosine")
        cosines[f"contrast {contrast}, layer {layer}"] = matrix.loc[roles, roles]
    plot_cosines(cosines, folder / "cosines.png")

    layers = list(dict.fromkeys(tables["components"]["layer"]))
    if layers:
        figure = Figure(figsize=(11, 6 * len(layers)), layout="constrained")
        rows = figure.subplots(len(layers), 2, squeeze=False)
        shown = []
        for (left, right), one in zip(rows, layers, strict=True):
            shown.append(_components(left, tables["components"], contrasts[-1], one))
            _tree(right, tables, contrasts[-1], one)
        handles, domains = rows[0, 0].get_legend_handles_labels()
        figure.legend(handles, domains, loc="outside upper center", ncols=4, frameon=False)
        for (left, _), part in zip(rows, shown, strict=True):
            label_points(left, part[["first", "second"]].to_numpy(), list(part["role"]))
        save_figure(figure, folder / "families.png")

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    halves, drawn = figure.subplots(1, 2, sharey=True)
    for contrast, style in CONTRAST_STYLE.items():
        for axis, name, value in (
            (halves, "stable", "split_half"),
            (drawn, "resampled", "cosine"),
        ):
            part = tables[name][tables[name]["contrast"] == contrast]
            found = part.groupby("n")[value].agg(["mean", "min", "max"])
            shade = {"color": style["color"], "alpha": 0.15}
            axis.plot(found.index, found["mean"], marker="o", **style)
            axis.fill_between(found.index, found["min"], found["max"], **shade)
    halves.set(ylabel="cosine of two disjoint samples", ylim=(0, 1))
    drawn.set(ylabel="cosine of a resample with the whole")
    for axis, name in ((halves, "stable"), (drawn, "resampled")):
        numbers = sorted(set(tables[name]["n"]))
        axis.set(xscale="log", xlabel="prompts in a sample, and as many of the contrast")
        axis.set_title(f"layer {layer}", fontsize=9)
        axis.set_xticks(numbers, numbers)
        axis.minorticks_off()
    halves.legend(frameon=False)
    save_figure(figure, folder / "stability.png")

    report = Report("Geometry of role directions", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "by_layer.png",
        "Likeness, shared part, and separability of held-out prompts, by layer (shaded, right: the "
        "range of all roles; dotted: if role and base prompts were of one kind; directions of "
        "contrast roles sum to zero and share nothing). The held-out test of contrast roles pools "
        "the other roles' prompts: one with more of them weighs more.",
    )
    report.figure(folder / "cosines.png", "Cosine of every two roles, in the order of their trees.")
    if layers:
        report.figure(
            folder / "families.png",
            "Roles on their first two principal components, and their tree, by layer.",
        )
    report.figure(
        folder / "stability.png",
        "Directions from two disjoint samples of prompts, and from prompts drawn with replacement "
        "beside the direction of all (line: mean over roles; shaded: all roles).",
    )
    strongest = tables["pulls"].groupby("role", sort=False).head(2)
    report.table(
        strongest,
        "The two prompts that turn each direction most when left out (1 - cosine, contrast base, "
        f"layer {layer}).",
    )
    report.write(folder / "report.html")


def _components(axis, components: pd.DataFrame, contrast: str, layer: int) -> pd.DataFrame:
    """Roles on their first two principal components, a marker for each domain; where they are."""
    part = components[(components["contrast"] == contrast) & (components["layer"] == layer)]
    homes = home_domains()
    domains = [homes.get(role, "other") for role in part["role"]]
    for marker, domain in zip(MARKERS, dict.fromkeys(domains), strict=False):
        some = part[[one == domain for one in domains]]
        axis.scatter(some["first"], some["second"], marker=marker, s=36, label=domain)
    share = part[["explained_1", "explained_2"]].iloc[0]
    axis.set(
        xlabel=f"first component ({share.iloc[0]:.0%} of the variance)",
        ylabel=f"second component ({share.iloc[1]:.0%})",
        title=f"layer {layer}, contrast {contrast}",
    )
    axis.margins(x=0.14)  # room for the names
    axis.axhline(0, color="grey", linewidth=0.6)
    axis.axvline(0, color="grey", linewidth=0.6)
    return part


def _tree(axis, tables, contrast: str, layer: int) -> None:
    """The tree of the roles' cosines."""
    merges = tables["merges"]
    merges = merges[(merges["contrast"] == contrast) & (merges["layer"] == layer)]
    hierarchy.dendrogram(
        merges[["one", "other", "distance", "size"]].to_numpy(),
        labels=list(dict.fromkeys(tables["cosines"]["role"])),
        orientation="left",
        ax=axis,
        color_threshold=0,
        above_threshold_color="#1f3b73",
        leaf_font_size=7,
    )
    axis.set_xlabel("1 - cosine, average linkage")


def _distinct(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _table(rows, names: str) -> pd.DataFrame:
    return pd.DataFrame.from_records(rows, columns=names.split())


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
