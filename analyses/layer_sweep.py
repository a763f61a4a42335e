"""Where in the model does adding or ablating a role's direction change the answers?

    python analyses/layer_sweep.py --out layer-sweep --roles economist nurse
    python analyses/layer_sweep.py --out layer-sweep --redraw

Measures effects on the questions of each role's own domain, by layer, position and contrast. They
are estimated for all roles and computed exactly for some, beside random directions of the same
length. The largest of many effects is large by chance too: `role-lens compare` tests a choice.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from role_lens import Grid, Question, RoleLensError, RoleVectors, attribute
from role_lens.experiments import (
    TABLE,
    Store,
    folder_of,
    open_store,
    open_sweep,
    sweep_asked,
    sweep_random,
)
from role_lens.questions import home_domains, homes_among, homes_of, sample_by_domain
from role_lens.reporting import (
    CONTRAST_STYLE,
    QuestionOptions,
    Report,
    Results,
    Setup,
    every_layer,
    heat_map,
    main,
    place_of,
    save_figure,
)
from role_lens.scoring import AskedQuestions, Asker, hash_of_vectors

NORMAL_90 = 1.645  # standard errors on either side of a 90 % interval
FEWEST_QUESTIONS = 2  # of a standard error


@dataclass(frozen=True)
class Config:
    """Settings of the layer sweep."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    roles: tuple[str, ...] | None = None
    """Roles that are swept exactly; default: the first of each domain. Estimated are all whose
    domain has questions."""
    role_domains: dict[str, str] | None = None
    """Role and its domain, pair after pair; default: those of the paper."""
    position: int = -1
    """Token position of the lines and of the random directions, from the end of the formatted
    prompt."""
    layer_step: int = 1
    """Every how many layers directions are tried."""
    coefficient: float = 1.0
    """Of the additions: how many times the raw direction."""
    n_random: int = 20
    """Random directions that are added for each role and contrast, at each of their layers; and as
    many that are ablated."""
    random_step: int = 3
    """Every how many layers random directions are added."""
    max_questions: int | None = None
    """Most questions of a domain."""


@dataclass(frozen=True, eq=False)
class Domain:
    """The questions of a domain, and its roles."""

    name: str
    asked: AskedQuestions
    roles: Sequence[str]
    """Those that are estimated."""
    swept: tuple[str, ...]
    """Those of them that are swept."""
    store: Store
    """Of the sweep, in which estimates are kept too."""


@dataclass(frozen=True, eq=False)
class Grids:
    """What is swept of one kind, in every domain."""

    exact: Grid
    random: Grid
    """Where random directions are tried."""
    band_of_each: bool
    """Whether each role has random directions of its own."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is to be done, once all that may be refused has been checked."""

    config: Config
    model: Any
    vectors: RoleVectors
    domains: Sequence[Domain]
    grids: Sequence[Grids]


def run(config: Config) -> Results:
    """Estimate all, sweep some, and write tables."""
    prepared = prepare(config)
    results = Results.of(
        config,
        prepared.model,
        prepared.vectors,
        estimated=estimate_table(prepared),
        exact=exact_table(prepared),
        random=random_table(prepared),
    )
    results.write(config.setup.out)
    return results


# Preparation


def prepare(config: Config) -> Prepared:
    """Load, divide the questions, and open the folders, which may refuse."""
    setup = config.setup
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    place_of(vectors, config.position)
    grids = [additions(config, vectors), ablations(config, vectors)]
    if config.n_random < 1:
        raise RoleLensError(f"a null band takes at least 1 random direction, got {config.n_random}")
    questions = config.asking.load()
    homes, swept = estimated_and_swept(config, vectors, questions)
    most = 10 if setup.quick else config.max_questions
    by_domain = sample_by_domain(questions, homes.values(), most, seed=setup.seed)
    if few := [name for name, some in by_domain.items() if len(some) < FEWEST_QUESTIONS]:
        raise RoleLensError(
            f"each domain needs at least {FEWEST_QUESTIONS} questions for a standard error; too "
            f"few in {', '.join(few)}"
        )
    asker = Asker(model, config.asking.asking)
    domains = []
    for name, some in by_domain.items():
        asked, own = asker.ask(some), [role for role, home in homes.items() if home == name]
        store = open_sweep(asked, vectors, folder_of(setup.out / "sweeps", name))
        domain = Domain(name, asked, own, tuple(role for role in swept if role in own), store)
        if domain.swept:
            made_of = {"vectors": hash_of_vectors(vectors), "seed": setup.seed}
            open_store(random_folder(config, domain), {**asked.identity, **made_of})
        domains.append(domain)
    return Prepared(config, model, vectors, domains, grids)


def additions(config: Config, vectors: RoleVectors) -> Grids:
    """All directions, and random ones at the position of the lines."""
    quick = config.setup.quick
    layers = tuple(every_layer(vectors, 12 if quick else config.layer_step))
    of_random = layers if quick else tuple(every_layer(vectors, config.random_step))
    positions = (config.position,)
    exact = Grid(
        layers=layers,
        positions=positions if quick else None,
        contrasts=vectors.contrasts,
        coefficients=(config.coefficient,),
    )
    return Grids(exact, replace(exact, layers=of_random, positions=positions), band_of_each=True)


def ablations(config: Config, vectors: RoleVectors) -> Grids:
    """The same directions. A random one has neither length nor layer: one role and place is all."""
    exact = additions(config, vectors).exact
    exact = replace(exact, kinds=("ablate",), coefficients=(1.0,))
    one = replace(
        exact,
        layers=exact.layers[:1],
        positions=(config.position,),
        contrasts=exact.contrasts[:1],
    )
    return Grids(exact, one, band_of_each=False)


def estimated_and_swept(
    config: Config, vectors: RoleVectors, questions: Sequence[Question]
) -> tuple[dict[str, str], dict[str, str]]:
    """Roles whose directions are estimated, and those that are swept, with their domains."""
    domains = {question.domain for question in questions}
    if config.roles is None:
        homes = homes_among(vectors, None, config.role_domains, domains)
        firsts = {domain: role for role, domain in reversed(homes.items())}
        swept = {role: domain for domain, role in firsts.items()}
    else:
        swept = homes_of(vectors, config.roles, config.role_domains)
        known = home_domains(config.role_domains)
        homes = {
            role: known[role]
            for role in vectors.roles
            if role in swept or known.get(role) in domains
        }
    if config.setup.quick:
        homes = swept = dict(list(swept.items())[:1])
    return homes, swept


def random_folder(config: Config, domain: Domain) -> Path:
    """Of a domain's random directions."""
    return folder_of(config.setup.out / "random", domain.name)


# Tables


def estimate_table(prepared: Prepared) -> pd.DataFrame:
    """The estimated effect of adding each direction, on its role's domain."""
    config, parts = prepared.config, []
    for domain in prepared.domains:
        make = partial(
            attribute,
            prepared.model,
            prepared.vectors,
            domain.asked.questions,
            domain.asked.asking,
        )
        found = domain.store.keep("estimates.parquet", make, TABLE)
        parts.append(found[found["role"].isin(domain.roles)].assign(domain=domain.name))
    table = pd.concat(parts, ignore_index=True)
    table["effect"] *= config.coefficient
    table["sem"] *= abs(config.coefficient)
    return table.assign(coefficient=config.coefficient)


def exact_table(prepared: Prepared) -> pd.DataFrame:
    """The exact effects of some roles' directions."""
    parts = []
    for domain in (one for one in prepared.domains if one.swept):
        for grids in prepared.grids:
            grid = replace(grids.exact, roles=domain.swept)
            table = sweep_asked(domain.asked, prepared.vectors, domain.store.path, grid)
            parts.append(table.iloc[1:].assign(domain=domain.name))
    return pd.concat(parts, ignore_index=True)


def random_table(prepared: Prepared) -> pd.DataFrame:
    """The effects of random directions."""
    setup, parts = prepared.config.setup, []
    n = 2 if setup.quick else prepared.config.n_random
    for domain in (one for one in prepared.domains if one.swept):
        folder = random_folder(prepared.config, domain)
        for grids in prepared.grids:
            roles = domain.swept if grids.band_of_each else domain.swept[:1]
            grid = replace(grids.random, roles=roles)
            table = sweep_random(domain.asked, prepared.vectors, folder, grid, n, seed=setup.seed)
            parts.append(table.assign(domain=domain.name))
    return pd.concat(parts, ignore_index=True)


# Figures and report


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    position = results.record["settings"]["position"]
    draw_lines(results.tables, position, folder / "lines.png")
    draw_positions(results.tables["exact"], folder / "positions.png")
    draw_estimated(results.tables["estimated"], position, folder / "estimated.png")
    write_report(results, folder)


def draw_lines(tables: Mapping[str, pd.DataFrame], position: int, path: Path) -> None:
    """Effects by layer, a row for each role, a column for each contrast and for ablations."""
    exact, random = tables["exact"], tables["random"]
    first_of_role = exact.drop_duplicates("role").set_index("role")
    contrasts = list(dict.fromkeys(exact["contrast"]))
    panels = [("add", contrast) for contrast in contrasts] + [("ablate", "")]
    figure = Figure(figsize=(10, 2.6 * len(first_of_role)), layout="constrained")
    axes = figure.subplots(len(first_of_role), len(panels), sharex=True, squeeze=False)
    for row, (role, about) in zip(axes, first_of_role.iterrows(), strict=True):
        for axis, (kind, contrast) in zip(row, panels, strict=True):
            own = {
                name: _of(table, role, kind, contrast, position) for name, table in tables.items()
            }
            if kind == "ablate":  # random ablations are those of the domain
                in_domain = (random["kind"] == kind) & (random["domain"] == about["domain"])
                own["random"] = random[in_domain]
            _lines(axis, own, kind)
        # Estimates may run away in the last layers: the scale is that of the exact effects.
        added = _of(exact, role, "add", "", position)
        band = random[(random["role"] == role) & (random["kind"] == "add")]["effect"]
        low, high = added["effect"] - 2 * added["sem"], added["effect"] + 2 * added["sem"]
        for axis in row[:-1]:
            axis.set_ylim(min(low.min(), band.min()), max(high.max(), band.max()))
        asked = f"{about['n']} questions of {about['domain']}"
        row[0].set_ylabel(f"{role}\n({asked})\neffect on the margin")
    for axis, (kind, contrast) in zip(axes[0], panels, strict=True):
        axis.set_title(f"{kind}, contrast {contrast}" if contrast else kind)
        axis.legend(fontsize=6.5, frameon=False, loc="lower left")
    for axis in axes[-1]:
        axis.set_xlabel(f"layer (position {position})")
    save_figure(figure, path)


def _of(table: pd.DataFrame, role: str, kind: str, contrast: str, position: int) -> pd.DataFrame:
    """Rows of one panel by layer; without a contrast those of all."""
    mask = (table["role"] == role) & (table["kind"] == kind) & (table["position"] == position)
    part = table[mask & (table["contrast"] == contrast)] if contrast else table[mask]
    return part.sort_values("layer").astype({"layer": int})


def _lines(axis: Axes, own: Mapping[str, pd.DataFrame], kind: str) -> None:
    """Exact effects with their intervals, random ones, and of additions the estimates."""
    band = {"color": "#d0d0d0", "label": "random directions"}
    if kind == "add":
        ends = own["random"].groupby("layer")["effect"].agg(["min", "max"])
        axis.vlines(ends.index, ends["min"], ends["max"], linewidth=6, **band)
    else:
        axis.axhspan(own["random"]["effect"].min(), own["random"]["effect"].max(), **band)
    for contrast, part in own["exact"].groupby("contrast"):
        style, error = CONTRAST_STYLE[contrast], NORMAL_90 * part["sem"]
        axis.plot(part["layer"], part["effect"], **style, linewidth=1.3)
        shade = {"color": style["color"], "alpha": 0.15}
        axis.fill_between(part["layer"], part["effect"] - error, part["effect"] + error, **shade)
    if kind == "add":
        dots = {"color": "black", "linewidth": 1, "label": "estimate"}
        axis.plot(own["estimated"]["layer"], own["estimated"]["effect"], ":", **dots)
    axis.axhline(0, color="black", linewidth=0.6)


def draw_positions(exact: pd.DataFrame, path: Path) -> None:
    """Effects by layer and position, a row for each role, a column for each kind and contrast."""
    roles = list(dict.fromkeys(exact["role"]))
    ways = list(dict.fromkeys(zip(exact["kind"], exact["contrast"], strict=True)))
    figure = Figure(figsize=(3 * len(ways), 0.6 + 1.5 * len(roles)), layout="constrained")
    axes = figure.subplots(len(roles), len(ways), squeeze=False)
    largest = exact["effect"].abs().groupby(exact["kind"]).quantile(0.98)
    images = {}
    for row, role in zip(axes, roles, strict=True):
        for axis, (kind, contrast) in zip(row, ways, strict=True):
            part = exact[(exact["role"] == role) & (exact["kind"] == kind)]
            part = part[part["contrast"] == contrast]
            matrix = part.pivot(index="position", columns="layer", values="effect")
            images[kind] = _heat_map(axis, matrix, largest[kind])
            axis.set_title(f"{kind} {role}, contrast {contrast}", fontsize=8)
        row[0].set_ylabel("position")
    for axis in axes[-1]:
        axis.set_xlabel("layer")
    for kind, image in images.items():
        drawn = list(axes[:, [one == kind for one, _ in ways]].flat)
        figure.colorbar(image, ax=drawn, label="effect on the margin", shrink=0.7, extend="both")
    save_figure(figure, path)


def draw_estimated(estimated: pd.DataFrame, position: int, path: Path) -> None:
    """Estimated effects of all roles by layer, a map for each contrast."""
    part = estimated[estimated["position"] == position]
    contrasts = list(dict.fromkeys(part["contrast"]))
    roles = list(dict.fromkeys(part["role"]))
    figure = Figure(figsize=(10, 1.5 + 0.18 * len(roles)), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(contrasts), sharey=True))
    for axis, contrast in zip(axes, contrasts, strict=True):
        own = part[part["contrast"] == contrast]
        matrix = own.pivot(index="role", columns="layer", values="effect").loc[roles]
        # The last layers would take the whole scale, where estimates are worst.
        image = _heat_map(axis, matrix, float(np.nanquantile(np.abs(matrix), 0.98)))
        axis.set(title=f"contrast {contrast}", xlabel=f"layer (position {position})")
        figure.colorbar(
            image, ax=axis, label="estimated effect on the margin", shrink=0.6, extend="both"
        )
    save_figure(figure, path)


def _heat_map(axis: Axes, matrix: pd.DataFrame, largest: float) -> Any:
    rows, columns = list(map(str, matrix.index)), list(map(str, matrix.columns))
    return heat_map(axis, matrix.to_numpy(dtype=float), rows, columns, largest=largest)


def write_report(results: Results, folder: Path) -> None:
    """The page of figures and tables."""
    estimated, exact = results.tables["estimated"], results.tables["exact"]
    report = Report("Layer sweep", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "lines.png",
        "Mean change of the margin by layer. Line: exact, with its 90 % interval at each layer "
        "alone; dots: estimate; grey: range of random directions (of the same length, where they "
        "are added). Additions and ablations have scales of their own.",
    )
    report.figure(
        folder / "positions.png",
        "Exact effect, by layer and position. The colours end at the 98th percentile of additions "
        "and of ablations.",
    )
    report.figure(
        folder / "estimated.png",
        "Estimated effect of adding, all roles on their own domains. The colours end at the 98th "
        "percentile.",
    )
    report.table(_agreement(estimated, exact), "Rank correlation of estimate and exact effect.")
    columns = ["kind", "contrast", "role", "position", "layer", "effect", "sem", "accuracy_change"]
    for kind, part in exact.groupby("kind", sort=False):
        report.table(
            part.nlargest(6, "effect")[columns],
            f"The largest of {len(part)} effects of {kind}: large by chance too.",
        )
    report.write(folder / "report.html")


def _agreement(estimated: pd.DataFrame, exact: pd.DataFrame) -> pd.DataFrame:
    """How alike estimated and exact effects of additions are, by role and contrast."""
    keys = ["contrast", "role", "position", "layer"]
    added = exact[exact["kind"] == "add"]
    both = added.merge(estimated, on=keys, suffixes=("", "_estimated"))
    groups = both.groupby(["role", "contrast"], sort=False)[["effect", "effect_estimated"]]
    found = groups.apply(lambda part: part.corr(method="spearman").iloc[0, 1])
    return found.rename("rank_correlation").reset_index()


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
