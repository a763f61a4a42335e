"""Where in the model does adding or ablating a role's direction change the answers?

    python analyses/layer_sweep.py --out layer-sweep --roles economist nurse
    python analyses/layer_sweep.py --out layer-sweep --redraw

Effects on the questions of the role's own domain, by layer and position and for both contrasts:
estimated for all roles by attribution, exact for some, beside random directions of the same length.
The largest of many effects is large by chance too: `role-lens compare` tests a choice.
"""

import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import Grid
from role_lens.experiments.identity import hash_of_vectors, run_identity
from role_lens.experiments.random_sweep import sweep_random
from role_lens.experiments.selection import folder_of
from role_lens.experiments.store import content_hash, kept_table
from role_lens.experiments.sweeps import sweep
from role_lens.files import make_folder
from role_lens.questions.domains import home_domains, homes_among, homes_of
from role_lens.questions.splits import sample_by_domain
from role_lens.reporting.analysis import Results, Setup, every_layer, main, place_of
from role_lens.reporting.figures import CONTRAST_STYLE, heat_map, save_figure
from role_lens.reporting.options import QuestionOptions
from role_lens.reporting.report import Report
from role_lens.scoring.attribution import attribute

NORMAL_90 = 1.645  # standard errors on either side of a 90 % interval


@dataclass(frozen=True)
class Config:
    """What is swept."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    roles: tuple[str, ...] | None = None
    """Roles that are swept exactly; default: the first of each domain. Estimated are all whose
    domain has questions."""
    domains: dict[str, str] | None = None
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


def run(config: Config) -> Results:
    """Estimate all, sweep some, and write tables."""
    setup, asking, folder = config.setup, config.asking.asking(), config.setup.out
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    place_of(vectors, config.position)  # an error now, not after the sweep
    questions = config.asking.load()
    asked_domains = {one.domain for one in questions}
    if config.roles is None:
        homes = homes_among(vectors, None, config.domains, asked_domains)
        firsts = {domain: role for role, domain in reversed(homes.items())}
        chosen = {role: domain for domain, role in firsts.items()}
    else:
        chosen = homes_of(vectors, config.roles, config.domains)
        known = home_domains(config.domains)
        homes = {
            role: known[role]
            for role in vectors.roles
            if role in chosen or known.get(role) in asked_domains
        }
    if setup.quick:
        homes = chosen = dict(list(chosen.items())[:1])
    most = 10 if setup.quick else config.max_questions
    by_domain = sample_by_domain(questions, homes.values(), most, seed=setup.seed)
    if few := [domain for domain, asked in by_domain.items() if len(asked) < 2]:
        raise RoleLensError(f"a standard error takes at least 2 questions, of {few} too")
    if config.n_random < 1:
        raise RoleLensError(f"a null band takes at least 1 random direction, got {config.n_random}")
    layers = tuple(every_layer(vectors, 12 if setup.quick else config.layer_step))
    of_random = layers if setup.quick else every_layer(vectors, config.random_step)
    positions = (config.position,)
    estimated, exact, random = [], [], []
    for domain, asked in by_domain.items():
        own = [role for role, home in homes.items() if home == domain]
        key = content_hash(hash_of_vectors(vectors), run_identity(model, asked, **asking))[:16]
        estimate = partial(attribute, model, vectors, asked, contrasts=vectors.contrasts, **asking)
        found = kept_table(make_folder(folder / "estimates") / f"{key}.parquet", estimate)
        estimated.append(found[found["role"].isin(own)].assign(domain=domain))
        some = tuple(role for role in chosen if role in own)
        if not some:
            continue
        read = positions if setup.quick else None
        for kind, coefficient in (("add", config.coefficient), ("ablate", 1.0)):
            grid = Grid(some, layers, read, vectors.contrasts, (kind,), (coefficient,))
            kept = folder_of(folder / "sweeps", domain)
            table = sweep(model, vectors, asked, kept, grid, **asking)
            exact.append(table.iloc[1:].assign(domain=domain))
            at_lines = replace(grid, layers=tuple(of_random), positions=positions)
            if kind == "ablate":
                # A random direction has neither length nor layer: one role and place is all.
                at_lines = replace(
                    at_lines, roles=some[:1], layers=layers[:1], contrasts=vectors.contrasts[:1]
                )
            table = sweep_random(
                model,
                vectors,
                asked,
                folder_of(folder / "random", domain),
                at_lines,
                2 if setup.quick else config.n_random,
                seed=setup.seed,
                **asking,
            )
            random.append(table.assign(domain=domain))
    estimates = pd.concat(estimated, ignore_index=True)
    estimates["effect"] *= config.coefficient
    estimates["sem"] *= abs(config.coefficient)
    results = Results.of(
        config,
        model,
        vectors,
        estimated=estimates.assign(coefficient=config.coefficient),
        exact=pd.concat(exact, ignore_index=True),
        random=pd.concat(random, ignore_index=True),
    )
    results.write(folder)
    return results


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    position = results.record["settings"]["position"]
    estimated, exact, random = (results.tables[name] for name in ("estimated", "exact", "random"))
    roles = list(dict.fromkeys(exact["role"]))
    contrasts = list(dict.fromkeys(exact["contrast"]))
    homes = exact.drop_duplicates("role").set_index("role")["domain"]
    n_asked = exact.drop_duplicates("role").set_index("role")["n"]

    panels = [("add", contrast) for contrast in contrasts] + [("ablate", "")]
    figure = Figure(figsize=(10, 2.6 * len(roles)), layout="constrained")
    axes = figure.subplots(len(roles), len(panels), sharex=True, squeeze=False)
    for row, role in zip(axes, roles, strict=True):
        for axis, (kind, contrast) in zip(row, panels, strict=True):
            _lines(axis, exact, random, estimated, role, kind, contrast, position)
        # Estimates may run away in the last layers: the scale is that of the exact effects.
        own = exact[(exact["role"] == role) & (exact["position"] == position)]
        own = own[own["kind"] == "add"]
        ends = [own["effect"] - 2 * own["sem"], own["effect"] + 2 * own["sem"]]
        band = random[(random["role"] == role) & (random["kind"] == "add")]["effect"]
        for axis in row[:-1]:
            axis.set_ylim(min(ends[0].min(), band.min()), max(ends[1].max(), band.max()))
        row[0].set_ylabel(f"{role}\n({n_asked[role]} questions of {homes[role]})\neffect, nats")
    for axis, (kind, contrast) in zip(axes[0], panels, strict=True):
        axis.set_title(f"{kind}, contrast {contrast}" if contrast else kind)
        axis.legend(fontsize=6.5, frameon=False, loc="lower left")
    for axis in axes[-1]:
        axis.set_xlabel(f"layer (position {position})")
    save_figure(figure, folder / "lines.png")

    added = exact[exact["kind"] == "add"]
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
            images[kind] = heat_map(
                axis,
                matrix.to_numpy(dtype=float),
                [str(one) for one in matrix.index],
                [str(one) for one in matrix.columns],
                largest=largest[kind],
            )
            axis.set_title(f"{kind} {role}, contrast {contrast}", fontsize=8)
        row[0].set_ylabel("position")
    for axis in axes[-1]:
        axis.set_xlabel("layer")
    for kind, image in images.items():
        drawn = list(axes[:, [one == kind for one, _ in ways]].flat)
        figure.colorbar(image, ax=drawn, label="effect, nats", shrink=0.7, extend="both")
    save_figure(figure, folder / "positions.png")

    part = estimated[estimated["position"] == position]
    all_roles = list(dict.fromkeys(part["role"]))
    figure = Figure(figsize=(10, 1.5 + 0.18 * len(all_roles)), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(contrasts), sharey=True))
    for axis, contrast in zip(axes, contrasts, strict=True):
        matrix = part[part["contrast"] == contrast].pivot(
            index="role", columns="layer", values="effect"
        )
        matrix = matrix.loc[all_roles]
        # The last layers would take the whole scale, where estimates are worst.
        largest = float(np.nanquantile(np.abs(matrix), 0.98))
        image = heat_map(
            axis,
            matrix.to_numpy(dtype=float),
            list(matrix.index),
            [str(one) for one in matrix.columns],
            largest=largest,
        )
        axis.set(title=f"contrast {contrast}", xlabel=f"layer (position {position})")
        figure.colorbar(image, ax=axis, label="estimated effect, nats", shrink=0.6, extend="both")
    save_figure(figure, folder / "estimated.png")

    report = Report("Layer sweep", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "lines.png",
        "Mean change of log p(correct) by layer. Line: exact, with its 90 % interval at each layer "
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
    report.table(_agreement(estimated, added), "Rank correlation of estimate and exact effect.")
    columns = ["kind", "contrast", "role", "position", "layer", "effect", "sem", "accuracy_change"]
    for kind, part in exact.groupby("kind", sort=False):
        report.table(
            part.nlargest(6, "effect")[columns],
            f"The largest of {len(part)} effects of {kind}: large by chance too.",
        )
    report.write(folder / "report.html")


def _lines(axis, exact, random, estimated, role, kind, contrast, position) -> None:
    """One panel; for ablations both contrasts in it."""

    def at(table, contrast):
        mask = (table["role"] == role) & (table["kind"] == kind) & (table["position"] == position)
        part = table[mask & (table["contrast"] == contrast)] if contrast else table[mask]
        return part.sort_values("layer").astype({"layer": int})

    band = {"color": "#d0d0d0", "label": "random directions"}
    if kind == "add":
        ends = at(random, contrast).groupby("layer")["effect"].agg(["min", "max"])
        axis.vlines(ends.index, ends["min"], ends["max"], linewidth=6, **band)
    else:
        domain = exact.loc[exact["role"] == role, "domain"].iloc[0]
        part = random[(random["kind"] == kind) & (random["domain"] == domain)]["effect"]
        axis.axhspan(part.min(), part.max(), **band)
    for one in [contrast] if contrast else dict.fromkeys(exact["contrast"]):
        part, style = at(exact, one), CONTRAST_STYLE[one]
        axis.plot(part["layer"], part["effect"], **style, linewidth=1.3)
        error = NORMAL_90 * part["sem"]
        axis.fill_between(
            part["layer"],
            part["effect"] - error,
            part["effect"] + error,
            color=style["color"],
            alpha=0.15,
        )
    if kind == "add":
        part = at(estimated, contrast)
        axis.plot(part["layer"], part["effect"], ":", color="black", linewidth=1, label="estimate")
    axis.axhline(0, color="black", linewidth=0.6)


def _agreement(estimated, added) -> pd.DataFrame:
    keys = ["contrast", "role", "position", "layer"]
    both = added.merge(estimated, on=keys, suffixes=("", "_estimated"))
    groups = both.groupby(["role", "contrast"], sort=False)[["effect", "effect_estimated"]]
    found = groups.apply(lambda part: part.corr(method="spearman").iloc[0, 1])
    return found.rename("rank_correlation").reset_index()


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
