"""What does each direction say, layer by layer, and what does the model say with it added?

    python analyses/logit_lens.py --out logit-lens --shown lawyer nurse
    python analyses/logit_lens.py --out logit-lens --redraw

Every role's direction is read through the final norm and the unembedding, for both contrasts; is
its own name among the first of all roles' names? Then the direction is added, and the next token
is read after every block. Tokens of a few prompts are coloured by how far they lie along it.
"""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from role_lens import Patch, RoleVectors, spread
from role_lens.experiments import rotated
from role_lens.judges import ranks
from role_lens.reading import (
    layer_logprobs,
    logit_lens,
    most_likely,
    name_logits,
    project_tokens,
    views_on_one_scale,
)
from role_lens.reporting import CONTRAST_STYLE, Report, Results, Setup, main, place_of, save_figure
from role_lens.scoring import kl_divergence


@dataclass(frozen=True)
class Config:
    """Settings of the logit lens analysis."""

    setup: Setup
    position: int = -1
    """Token position, from the end of the formatted prompt."""
    top_k: int = 8
    """Tokens of each direction."""
    layer: int | None = None
    """Layer that directions are added at, and tokens are coloured by; default: three quarters
    up."""
    coefficient: float = 2.0
    """How many times the raw direction is added; of contrast `roles`, where there are several
    roles."""
    n_prompts: int = 8
    """Base prompts that the model answers with each direction added."""
    shown: tuple[str, ...] | None = None
    """Roles whose predictions and coloured tokens are shown; default: the first two."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Model, vectors and prompts, once all that may be refused has been checked."""

    config: Config
    model: Any
    vectors: RoleVectors
    place: int
    """Index of the position."""
    layer: int
    """That directions are added at."""
    shown: Sequence[str]
    """Roles whose predictions and coloured tokens are shown."""
    prompts: Sequence[str]
    """Base prompts that are answered."""

    @property
    def moved_roles(self) -> Sequence[str]:
        """Roles whose directions are added."""
        return self.shown if self.config.setup.quick else self.vectors.roles

    @property
    def contrast(self) -> str:
        """Of the directions that are added."""
        return "roles" if "roles" in self.vectors.contrasts else "base"

    @property
    def system(self) -> str | None:
        """System message of the fit, which all prompts have."""
        return self.vectors.provenance["system"]

    def addition(self, source: RoleVectors, role: str) -> Patch:
        """Adds the role's direction of these vectors."""
        return source.add(
            role,
            layer=self.layer,
            position=self.config.position,
            coefficient=self.config.coefficient,
            contrast=self.contrast,
        )


def run(config: Config) -> Results:
    """Read, add, and write tables."""
    prepared = prepare(config)
    results = Results.of(
        config,
        prepared.model,
        prepared.vectors,
        words=word_table(prepared),
        named=name_table(prepared),
        moved=move_table(prepared),
        predicted=prediction_table(prepared),
        views=view_table(prepared),
    )
    results.write(config.setup.out)
    return results


def prepare(config: Config) -> Prepared:
    """Load, and check prompts, place, roles and their number."""
    setup = config.setup
    model = setup.options.load()
    vectors = setup.with_prompts(setup.load_vectors(model))  # each role's first is shown
    place, layer = place_of(vectors, config.position, config.layer)
    shown = [vectors.roles[vectors.role_index(role)] for role in config.shown or vectors.roles[:2]]
    prompts = spread(vectors.prompts.base, config.n_prompts)
    return Prepared(config, model, vectors, place, layer, shown, prompts)


# Tables


def word_table(prepared: Prepared) -> pd.DataFrame:
    """The tokens that each direction promotes most."""
    rows, vectors = [], prepared.vectors
    for contrast, at in itertools.product(vectors.contrasts, range(1, vectors.n_layers)):
        directions = vectors.directions(contrast)[:, prepared.place, at]
        said = logit_lens(prepared.model, directions, top_k=prepared.config.top_k)
        rows += [
            (contrast, at, role, tokens) for role, tokens in zip(vectors.roles, said, strict=True)
        ]
    return _table(rows, "contrast layer role tokens")


def name_table(prepared: Prepared) -> pd.DataFrame:
    """The rank of each role's own name among all roles' names."""
    rows, vectors = [], prepared.vectors
    for contrast, at in itertools.product(vectors.contrasts, range(1, vectors.n_layers)):
        directions = vectors.directions(contrast)[:, prepared.place, at]
        logits = name_logits(prepared.model, directions, vectors.roles).double().numpy()
        found = ranks(logits, usual=logits.mean(axis=0))
        rows += [(contrast, at, role, int(found[i, i])) for i, role in enumerate(vectors.roles)]
    return _table(rows, "contrast layer role rank")


def move_table(prepared: Prepared) -> pd.DataFrame:
    """How far each direction, and a random one as long, moves what is read at each layer."""
    model, system, rows = prepared.model, prepared.system, []
    plain = [layer_logprobs(model, prompt, system=system) for prompt in prepared.prompts]
    turned = rotated(prepared.vectors, seed=prepared.config.setup.seed)
    sources = {"role": prepared.vectors, "random": turned}
    for role, (kind, source) in itertools.product(prepared.moved_roles, sources.items()):
        patch = prepared.addition(source, role)
        for number, (prompt, before) in enumerate(zip(prepared.prompts, plain, strict=True)):
            after = layer_logprobs(model, prompt, patch, system=system)
            moved = kl_divergence(before, after).tolist()
            rows += [(role, kind, number, layer, kl) for layer, kl in enumerate(moved)]
    return _table(rows, "role direction prompt layer kl")


def prediction_table(prepared: Prepared) -> pd.DataFrame:
    """The likeliest next tokens after the first prompt, plain and with a shown role's direction."""
    prompt, parts = prepared.prompts[0], []
    for role in (role for role in prepared.moved_roles if role in prepared.shown):
        patches = {"plain": None, "patched": prepared.addition(prepared.vectors, role)}
        for name, patch in patches.items():
            logprobs = layer_logprobs(prepared.model, prompt, patch, system=prepared.system)
            some = most_likely(prepared.model, logprobs, top_k=3)
            parts.append(some.assign(role=role, model=name, prompt=prompt))
    return pd.concat(parts, ignore_index=True)


def view_table(prepared: Prepared) -> pd.DataFrame:
    """Tokens of one of a shown role's own prompts, and of a base prompt, with their projections."""
    vectors, layer, contrast = prepared.vectors, prepared.layer, prepared.contrast
    where = {"layer": layer, "position": prepared.config.position, "contrast": contrast}
    rows = []
    for role in prepared.shown:
        direction = vectors.direction(role, **where)
        of_kinds = {"its own": vectors.prompts.roles[role][0], "a base prompt": prepared.prompts[0]}
        for kind, prompt in of_kinds.items():
            view = project_tokens(prepared.model, prompt, direction, layer, system=prepared.system)
            rows.append((role, contrast, kind, layer, list(view.tokens), list(view.values)))
    return _table(rows, "role contrast prompt layer tokens values")


# Figures and report


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    tables, settings = results.tables, results.record["settings"]
    named, at = tables["named"], int(tables["views"]["layer"].iloc[0])
    draw_names(named, settings["position"], folder / "names.png")
    draw_by_layer(named, tables["moved"], settings["position"], at, folder / "by_layer.png")
    write_report(results, folder)


def draw_names(named: pd.DataFrame, position: int, path: Path) -> None:
    """The rank of each role's own name, by layer and contrast."""
    contrasts = list(dict.fromkeys(named["contrast"]))
    roles = list(dict.fromkeys(named["role"]))
    figure = Figure(figsize=(10, 1.6 + 0.17 * len(roles)), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(contrasts), sharey=True))
    for axis, contrast in zip(axes, contrasts, strict=True):
        part = named[named["contrast"] == contrast]
        matrix = part.pivot(index="role", columns="layer", values="rank").loc[roles]
        image = axis.imshow(matrix, cmap="viridis_r", vmin=1, vmax=len(roles), aspect="auto")
        axis.set_yticks(range(len(roles)), roles, fontsize=7)
        ticks = range(0, matrix.shape[1], max(1, matrix.shape[1] // 10))
        axis.set_xticks(ticks, [str(matrix.columns[i]) for i in ticks], fontsize=7)
        axis.set(title=f"contrast {contrast}", xlabel=f"layer (position {position})")
    figure.colorbar(
        image, ax=axes.tolist(), label=f"place of its own name among {len(roles)}", shrink=0.7
    )
    save_figure(figure, path)


def draw_by_layer(
    named: pd.DataFrame, moved: pd.DataFrame, position: int, added_at: int, path: Path
) -> None:
    """How often a role's own name comes first, and how far its direction moves what is read."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for contrast, part in named.groupby("contrast", sort=False):
        first = (part["rank"] == 1).groupby(part["layer"]).mean()
        left.plot(first.index, first, **CONTRAST_STYLE[contrast])
    left.axhline(1 / named["role"].nunique(), color="grey", linewidth=0.8, label="chance")
    left.set(
        xlabel=f"layer (position {position})",
        ylabel="share of roles whose own\nname comes first",
        ylim=(-0.03, 1.03),
    )
    left.legend(frameon=False, fontsize=8)
    by_role = moved.groupby(["direction", "role", "layer"])["kl"].mean()
    own = by_role["role"].unstack("role")
    right.plot(own.index, own, color="#8aa3c8", linewidth=0.6)
    right.plot(own.mean(axis=1), color="#1f3b73", label="mean over roles")
    random = by_role["random"].groupby("layer").mean()
    right.plot(random, color="black", linestyle="--", label="random directions, as long")
    right.axvline(added_at, color="grey", linestyle=":", label="direction added here")
    right.set(xlabel="residual stream entering block", ylabel="KL(plain ‖ patched), nats")
    right.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def write_report(results: Results, folder: Path) -> None:
    """The page of figures, tables and coloured tokens."""
    tables = results.tables
    at, contrast = tables["views"][["layer", "contrast"]].iloc[0]
    times = f"{results.record['settings']['coefficient']:g} times its direction"
    what = f"{times} of contrast {contrast} added at layer {at}"
    report = Report("Logit lens", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "names.png",
        "Which place its own name takes among all roles' names, in the logits of each role's "
        "direction less their mean over roles (1 is the first).",
    )
    report.figure(
        folder / "by_layer.png",
        f"Left: how often that is the first. Right: how far a role moves the prediction read at "
        f"each layer, {what} (thin: single roles, mean over prompts; dashed: mean over as many "
        "random directions of the same lengths).",
    )
    _report_words(report, tables["words"])
    for role, part in tables["predicted"].groupby("role", sort=False):
        report.table(
            _side_by_side(part[part["layer"] >= at]),
            f"{role}: the three likeliest next tokens after {part['prompt'].iloc[0]!r}, plain and "
            f"with {what}, read at every layer from there on.",
        )
    _report_views(report, tables["views"])
    report.write(folder / "report.html")


def _report_words(report: Report, words: pd.DataFrame) -> None:
    """Promoted tokens at three layers, a table for each contrast."""
    last = words["layer"].max()
    some = words[words["layer"].isin({last // 2, 3 * last // 4, last})]
    roles = list(dict.fromkeys(words["role"]))
    for contrast, part in some.groupby("contrast", sort=False):
        wide = part.pivot(index="role", columns="layer", values="tokens").loc[roles]
        wide = wide.map(lambda tokens: " ".join(map(repr, map(str, tokens))))
        report.table(
            wide.rename(columns=lambda at: f"layer {at}").reset_index(),
            f"Tokens with the highest logits of each direction, contrast {contrast}.",
        )


def _report_views(report: Report, table: pd.DataFrame) -> None:
    """Coloured tokens, all on one scale."""
    rows = list(table.itertuples())
    views, largest = views_on_one_scale([(row.tokens, row.values) for row in rows])
    for row, view in zip(rows, views, strict=True):
        caption = (
            f"Tokens by projection on {row.role} (contrast {row.contrast}), layer {row.layer}: "
            f"{row.prompt}. Full colour: {largest:.2g}, blue along the direction."
        )
        report.tokens(view, caption, largest)


def _side_by_side(predicted: pd.DataFrame) -> pd.DataFrame:
    """One row a layer, the tokens of each model in a cell."""
    shown = predicted["token"].map(repr) + predicted["logprob"].map(lambda x: f" {np.exp(x):.0%}")
    cells = shown.groupby([predicted["layer"], predicted["model"]], sort=False).agg(", ".join)
    return cells.unstack("model")[["plain", "patched"]].reset_index()


def _table(rows: Sequence[tuple], names: str) -> pd.DataFrame:
    return pd.DataFrame.from_records(rows, columns=names.split())


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
