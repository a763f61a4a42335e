"""What kind of directions are these: how alike, how separable, how sure?

    python analyses/geometry.py --out geometry
    python analyses/geometry.py --out geometry --redraw

Computes cosines between all roles, their principal components and their tree; how much of each
direction all roles share; whether held-out prompts can be told apart along it; how far it depends
on the number of prompts; and which prompts change it most.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster import hierarchy
from torch import Tensor

from role_lens import RoleLensError, RoleVectors, activations_at, encode_chat, spread
from role_lens.directions import cosine_similarity, principal_components
from role_lens.questions import home_domains
from role_lens.reading import (
    bootstrap_cosines,
    geometry_by_layer,
    held_out_auc,
    leave_one_out,
    likeness_by_chance,
    role_tree,
    stability_by_number,
)
from role_lens.reporting import (
    CONTRAST_STYLE,
    QUICK_ROLE_PROMPTS,
    Report,
    Results,
    Setup,
    every_layer,
    label_points,
    main,
    place_of,
    plot_cosines,
    save_figure,
)

MARKERS = "osD^v<>PX"
FEWEST_ROLES = 3  # of a tree, and of two components

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Config:
    """Settings of the geometry analysis."""

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


@dataclass(frozen=True, eq=False)
class Prepared:
    """Model, vectors and prompts, once all that may be refused has been checked."""

    config: Config
    """With the layer filled in."""
    model: Any
    vectors: RoleVectors
    layers: Sequence[int]
    """Those of the separation, the one of the stability among them."""
    texts: Sequence[str]
    """All prompts."""
    kinds: np.ndarray
    """The role of each, "" for base prompts."""

    @property
    def resampling(self) -> dict[str, int]:
        """How often, and from which seed, for the stability."""
        setup = self.config.setup
        return {"repeats": 5 if setup.quick else self.config.repeats, "seed": setup.seed}

    def sides(self, role: str, contrast: str) -> tuple[np.ndarray, np.ndarray]:
        """Which prompts are the role's, and which it is set against."""
        own, base = self.kinds == role, self.kinds == ""
        others = base if contrast == "base" else ~own & ~base
        return np.flatnonzero(own), np.flatnonzero(others)


def run(config: Config) -> Results:
    """Fit or load, look, and write tables."""
    prepared = prepare(config)
    activations = read_activations(prepared)
    merges, orders = tree_tables(prepared)
    results = Results.of(
        prepared.config,
        prepared.model,
        prepared.vectors,
        by_layer=geometry_by_layer(prepared.vectors),
        by_chance=likeness_by_chance(prepared.vectors),
        cosines=cosine_table(prepared),
        components=component_table(prepared),
        merges=merges,
        orders=orders,
        separable=separation_table(prepared, activations),
        stable=stability_table(prepared, activations),
        resampled=resample_table(prepared, activations),
        pulls=pull_table(prepared, activations),
    )
    results.write(config.setup.out)
    return results


# Preparation


def prepare(config: Config) -> Prepared:
    """Load, and check prompts, position, layers and directions."""
    setup, position = config.setup, config.position
    model = setup.options.load()
    vectors = setup.with_prompts(setup.load_vectors(model))
    _, layer = place_of(vectors, position, config.layer)
    every = () if setup.quick else every_layer(vectors, config.layer_step)
    config = replace(config, layer=layer)
    texts, kinds = all_prompts(vectors, quick=setup.quick)
    prepared = Prepared(config, model, vectors, sorted({*every, layer}), texts, kinds)
    for _, one, directions in shown_directions(prepared):
        if cosine_similarity(directions).isnan().any():
            raise RoleLensError(
                f"layer {one} holds no direction at position {position}: its input is the same for "
                "all prompts"
            )
    return prepared


def all_prompts(vectors: RoleVectors, *, quick: bool) -> tuple[list[str], np.ndarray]:
    """The prompts of the fit, and the role of each.

    A prompt that is there twice would stand on both sides of what is held out.
    """
    by_kind = {"": _distinct(vectors.prompts.base)}
    for role in vectors.roles:
        own = _distinct(vectors.prompts.roles[role])
        by_kind[role] = spread(own, QUICK_ROLE_PROMPTS) if quick else own
    texts = [text for some in by_kind.values() for text in some]
    return texts, np.array(list(by_kind)).repeat([len(some) for some in by_kind.values()])


def shown_directions(prepared: Prepared) -> Iterator[tuple[str, int, Tensor]]:
    """Contrast, layer and all roles' directions, for cosines, components and trees."""
    config, vectors = prepared.config, prepared.vectors
    place, last = vectors.positions.index(config.position), vectors.n_layers - 1
    layers = sorted({min(max(1, vectors.n_layers // 3), last), config.layer, last})
    for contrast, layer in itertools.product(vectors.contrasts, layers):
        yield contrast, layer, vectors.directions(contrast)[:, place, layer]


def read_activations(prepared: Prepared) -> dict[int, Tensor]:
    """Of all prompts, by layer, `prompt x d_model`."""
    system = prepared.vectors.provenance["system"]
    sequences = encode_chat(prepared.model, prepared.texts, system)
    places = [(layer, prepared.config.position) for layer in prepared.layers]
    found = activations_at(prepared.model, sequences, places)
    return dict(zip(prepared.layers, found, strict=True))


# Tables


def cosine_table(prepared: Prepared) -> pd.DataFrame:
    """Cosines of every two roles."""
    rows, roles = [], prepared.vectors.roles
    for contrast, layer, directions in shown_directions(prepared):
        matrix = cosine_similarity(directions).tolist()
        rows += [
            (contrast, layer, role, other, cosine)
            for role, cosines in zip(roles, matrix, strict=True)
            for other, cosine in zip(roles, cosines, strict=True)
        ]
    return _table(rows, "contrast layer role other cosine")


def component_table(prepared: Prepared) -> pd.DataFrame:
    """Roles on their first two principal components; empty where there are too few."""
    rows, roles = [], prepared.vectors.roles
    for contrast, layer, directions in shown_directions(prepared):
        if len(roles) >= FEWEST_ROLES:
            places, explained = (found.tolist() for found in principal_components(directions, 2))
            rows += [
                (contrast, layer, role, *place, *explained)
                for role, place in zip(roles, places, strict=True)
            ]
    return _table(rows, "contrast layer role first second explained_1 explained_2")


def tree_tables(prepared: Prepared) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Merges of the trees, and the order of roles in them; empty where there are too few."""
    merges, orders, roles = [], [], prepared.vectors.roles
    for contrast, layer, directions in shown_directions(prepared):
        if len(roles) >= FEWEST_ROLES:
            joined, order = role_tree(cosine_similarity(directions))
            merges += [(contrast, layer, *row) for row in joined.tolist()]
            orders += [(contrast, layer, roles[index]) for index in order]
    return (
        _table(merges, "contrast layer one other distance size"),
        _table(orders, "contrast layer role"),
    )


def of_means(vectors: RoleVectors) -> list[str]:
    """The contrasts that are differences of means, which samples of prompts can give again."""
    return [contrast for contrast in vectors.contrasts if contrast not in vectors.found]


def separation_table(prepared: Prepared, activations: Mapping[int, Tensor]) -> pd.DataFrame:
    """How well held-out prompts can be told apart, by layer."""
    rows, vectors, seed = [], prepared.vectors, prepared.config.setup.seed
    for role, contrast in itertools.product(vectors.roles, of_means(vectors)):
        own, others = prepared.sides(role, contrast)
        rows += [
            (role, contrast, layer, held_out_auc(at[own], at[others], seed=seed))
            for layer, at in activations.items()
        ]
    return _table(rows, "role contrast layer auc")


def both_sides(
    prepared: Prepared, activations: Mapping[int, Tensor]
) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Role, contrast, and the activations on either side, at the layer of the stability."""
    vectors, at = prepared.vectors, activations[prepared.config.layer]
    for role, contrast in itertools.product(vectors.roles, of_means(vectors)):
        own, others = prepared.sides(role, contrast)
        yield role, contrast, at[own], at[others]


def stability_table(prepared: Prepared, activations: Mapping[int, Tensor]) -> pd.DataFrame:
    """How alike directions from disjoint samples of prompts are, by their number."""
    numbers, resampling = prepared.config.numbers, prepared.resampling
    parts = [
        stability_by_number(own, others, numbers, **resampling).assign(role=role, contrast=contrast)
        for role, contrast, own, others in both_sides(prepared, activations)
    ]
    return pd.concat(parts, ignore_index=True)


def resample_table(prepared: Prepared, activations: Mapping[int, Tensor]) -> pd.DataFrame:
    """How alike directions from resampled prompts and that of all are, by their number."""
    rows = [
        (role, contrast, n, _mean_cosine(own, others, n, prepared.resampling))
        for role, contrast, own, others in both_sides(prepared, activations)
        for n in prepared.config.numbers
        if 1 <= n <= len(own)
    ]
    return _table(rows, "role contrast n cosine")


def _mean_cosine(own: Tensor, others: Tensor, n: int, resampling: Mapping[str, int]) -> float:
    return float(bootstrap_cosines(own, others, n=n, **resampling).mean())


def pull_table(prepared: Prepared, activations: Mapping[int, Tensor]) -> pd.DataFrame:
    """How far each prompt alone turns its role's direction of contrast `base`, furthest first."""
    rows = []
    for role, contrast, own, others in both_sides(prepared, activations):
        if contrast != "base":
            continue
        places, _ = prepared.sides(role, contrast)
        turned = leave_one_out(own, others)
        rows += [
            (role, prepared.texts[places[i]], float(turned[i]))
            for i in turned.argsort(descending=True)
        ]
    return _table(rows, "role prompt turn")


# Figures and report


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    tables, settings = results.tables, results.record["settings"]
    position, layer = settings["position"], settings["layer"]
    draw_by_layer(tables, position, folder / "by_layer.png")
    draw_cosines(tables, layer, folder / "cosines.png")
    if len(tables["components"]):
        draw_families(tables, folder / "families.png")
    draw_stability(tables, layer, folder / "stability.png")
    write_report(results, folder)


def draw_by_layer(tables: Tables, position: int, path: Path) -> None:
    """Likeness, shared part and separability by layer, beside what chance would give."""
    contrasts = list(dict.fromkeys(tables["cosines"]["contrast"]))
    by_layer = tables["by_layer"]
    by_layer = by_layer[(by_layer["position"] == position) & by_layer["mean_cosine"].notna()]
    separable = tables["separable"].groupby(["contrast", "layer"])["auc"]
    separable = separable.agg(["mean", "min", "max"]).reset_index()
    by_chance = tables["by_chance"].set_index("contrast").assign(mean=0.5)
    panels = (
        (by_layer, "mean_cosine", "cosine of two roles, mean"),
        (by_layer, "shared", "share of squared length\nalong the mean of all roles"),
        (separable, "mean", "AUC, held-out prompts, mean"),
    )
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for axis, (table, name, label) in zip(figure.subplots(1, 3), panels, strict=True):
        for contrast in contrasts:
            style = CONTRAST_STYLE[contrast]
            part = table[table["contrast"] == contrast]
            if "min" in part:
                shade = {"color": style["color"], "alpha": 0.15}
                axis.fill_between(part["layer"], part["min"], part["max"], **shade)
            axis.plot(part["layer"], part[name], **style)
            chance = {"color": style["color"], "linestyle": ":", "linewidth": 1.2}
            label_once = "by chance" if contrast == by_chance.index[-1] else None
            if contrast in by_chance.index:
                axis.axhline(by_chance.loc[contrast, name], label=label_once, **chance)
        axis.set(xlabel=f"layer (position {position})", ylabel=label)
    figure.axes[0].legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def draw_cosines(tables: Tables, layer: int, path: Path) -> None:
    """Cosines of every two roles, in the order of their trees where there are trees."""
    at_layer = tables["cosines"][tables["cosines"]["layer"] == layer]
    order = tables["orders"][tables["orders"]["layer"] == layer]
    cosines = {}
    for contrast, part in at_layer.groupby("contrast", sort=False):
        roles = order.loc[order["contrast"] == contrast, "role"].tolist()
        roles = roles or list(dict.fromkeys(part["role"]))
        matrix = part.pivot(index="role", columns="other", values="cosine")
        cosines[f"contrast {contrast}, layer {layer}"] = matrix.loc[roles, roles]
    plot_cosines(cosines, path)


def draw_families(tables: Tables, path: Path) -> None:
    """Components and tree of contrast `roles`, or of the only one, a row for each layer."""
    components = tables["components"]
    contrast = "roles" if "roles" in set(components["contrast"]) else "base"
    components = components[components["contrast"] == contrast]
    layers = list(dict.fromkeys(components["layer"]))
    figure = Figure(figsize=(11, 6 * len(layers)), layout="constrained")
    rows = figure.subplots(len(layers), 2, squeeze=False)
    for (left, right), layer in zip(rows, layers, strict=True):
        _components(left, components[components["layer"] == layer])
        _tree(right, tables, contrast, layer)
        left.set_title(f"layer {layer}, contrast {contrast}")
    handles, domains = rows[0, 0].get_legend_handles_labels()
    figure.legend(handles, domains, loc="outside upper center", ncols=4, frameon=False)
    for (left, _), layer in zip(rows, layers, strict=True):  # last: names take the layout as it is
        part = components[components["layer"] == layer]
        label_points(left, part[["first", "second"]].to_numpy(), list(part["role"]))
    save_figure(figure, path)


def _components(axis: Axes, part: pd.DataFrame) -> None:
    """Roles on their first two principal components, a marker for each domain."""
    homes = home_domains()
    domains = [homes.get(role, "other") for role in part["role"]]
    for marker, domain in zip(MARKERS, dict.fromkeys(domains), strict=False):
        some = part[[one == domain for one in domains]]
        axis.scatter(some["first"], some["second"], marker=marker, s=36, label=domain)
    share = part[["explained_1", "explained_2"]].iloc[0]
    axis.set(
        xlabel=f"first component ({share.iloc[0]:.0%} of the variance)",
        ylabel=f"second component ({share.iloc[1]:.0%})",
    )
    axis.margins(x=0.14)  # room for the names
    axis.axhline(0, color="grey", linewidth=0.6)
    axis.axvline(0, color="grey", linewidth=0.6)


def _tree(axis: Axes, tables: Tables, contrast: str, layer: int) -> None:
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


def draw_stability(tables: Tables, layer: int, path: Path) -> None:
    """Directions from disjoint samples, and from resamples, by the number of prompts."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    halves, drawn = figure.subplots(1, 2, sharey=True)
    panels = ((halves, tables["stable"], "split_half"), (drawn, tables["resampled"], "cosine"))
    for axis, table, value in panels:
        for contrast, part in table.groupby("contrast"):
            style = CONTRAST_STYLE[contrast]
            found = part.groupby("n")[value].agg(["mean", "min", "max"])
            shade = {"color": style["color"], "alpha": 0.15}
            axis.plot(found.index, found["mean"], marker="o", **style)
            axis.fill_between(found.index, found["min"], found["max"], **shade)
    halves.set(ylabel="cosine of two disjoint samples", ylim=(0, 1))
    drawn.set(ylabel="cosine of a resample with the whole")
    for axis, table, _ in panels:
        numbers = sorted(set(table["n"]))
        axis.set(xscale="log", xlabel="prompts in a sample, and as many of the contrast")
        axis.set_title(f"layer {layer}", fontsize=9)
        axis.set_xticks(numbers, numbers)
        axis.minorticks_off()
    halves.legend(frameon=False)
    save_figure(figure, path)


def write_report(results: Results, folder: Path) -> None:
    """The page of figures and tables."""
    report = Report("Geometry of role directions", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "by_layer.png",
        "Likeness, shared part, and separability of held-out prompts, by layer (shaded, right: the "
        "range of all roles; dotted: if role and base prompts were of one kind; directions of "
        "contrast roles sum to zero and share nothing). The held-out test of contrast roles pools "
        "the other roles' prompts: one with more of them weighs more.",
    )
    report.figure(folder / "cosines.png", "Cosine of every two roles, in the order of their trees.")
    if len(results.tables["components"]):
        report.figure(
            folder / "families.png",
            "Roles on their first two principal components, and their tree, by layer.",
        )
    report.figure(
        folder / "stability.png",
        "Directions from two disjoint samples of prompts, and from prompts drawn with replacement "
        "beside the direction of all (line: mean over roles; shaded: all roles).",
    )
    report.table(
        results.tables["pulls"].groupby("role", sort=False).head(2),
        "The two prompts that turn each direction most when left out (1 - cosine, contrast base, "
        f"layer {results.record['settings']['layer']}).",
    )
    report.write(folder / "report.html")


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _table(rows: Sequence[tuple], names: str) -> pd.DataFrame:
    return pd.DataFrame.from_records(rows, columns=names.split())


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
