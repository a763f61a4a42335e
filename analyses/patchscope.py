"""Does a direction say its role when it is put in the place of a word? And do those that help?

    python analyses/patchscope.py --out patchscope
    python analyses/patchscope.py --out patchscope --redraw

Every role's direction is put into a prompt's placeholder, "What does X represent?", from several
layers, at several layers and sizes. The unpatched model ranks all roles' names for what it wrote,
after ranking texts that it wrote under persona prompts, where the role is known. Then: of those
directions that improve the answers on their role's domain, how many say their role?
"""

import itertools
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill

import pandas as pd
import torch
from matplotlib.figure import Figure

from role_lens.analysis import Results, Setup, main
from role_lens.cli_options import QuestionOptions
from role_lens.evaluation.domains import homes_of
from role_lens.evaluation.grid import Grid
from role_lens.evaluation.selection import folder_of
from role_lens.evaluation.splits import sample_by_domain
from role_lens.evaluation.statistics import association
from role_lens.evaluation.sweep import sweep
from role_lens.figures import CONTRAST_STYLE, save_figure
from role_lens.readout.endpoint_judge import ask_endpoint
from role_lens.readout.patchscope import TARGET, patchscope
from role_lens.readout.role_judge import (
    PERSONA_QUESTIONS,
    hit_rates,
    judged,
    names_role,
    own_ranks,
    persona_texts,
    ranks,
    role_likelihoods,
)
from role_lens.report import Report

WAY = ["target", "inject", "scale"]


@dataclass(frozen=True)
class Config:
    """What is put where."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    position: int = -1
    """Token position that directions are read from, from the end of the formatted prompt."""
    layer_step: int = 4
    """Every how many layers directions are read."""
    inject: tuple[int, ...] = (-1, 3)
    """Layers that directions are added at; -1 for the layer that each was read at."""
    scales: tuple[float, ...] = (1.0, 4.0)
    """How many times the raw direction is added."""
    targets: tuple[str, ...] = (TARGET, "Who would be interested in X? Describe such a person.")
    """Prompts with the word X."""
    max_new_tokens: int = 24
    """Length of the texts."""
    domains: dict[str, str] | None = None
    """Role and its domain, pair after pair; default: those of the paper."""
    max_questions: int | None = None
    """Most questions of a domain."""
    judge_url: str | None = None
    """An OpenAI-compatible endpoint, such as http://localhost:8000/v1, to judge the texts too."""
    judge_model: str = "default"
    """The judge's name there; its key is read from the environment, OPENAI_API_KEY."""


def run(config: Config) -> Results:
    """Put in, judge, sweep, and write tables."""
    setup, quick = config.setup, config.setup.quick
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    homes = homes_of(vectors, None, config.domains)
    roles, place = vectors.roles, vectors.positions.index(config.position)
    step = 12 if quick else config.layer_step
    layers = range(2, vectors.n_layers, step)
    told = roles[::8] if quick else roles
    questions = sample_by_domain(
        config.asking.load(),
        (homes[role] for role in told),
        20 if quick else config.max_questions,
        seed=setup.seed,
    )

    asked = PERSONA_QUESTIONS[: 1 if quick else None]
    written = persona_texts(model, told, asked, max_new_tokens=config.max_new_tokens)
    likelihoods = role_likelihoods(model, written["text"].tolist(), roles, progress=False)
    usual = likelihoods.mean(axis=0)
    truth = [roles.index(role) for role in written["role"]]
    written["rank"] = own_ranks(ranks(likelihoods, usual), truth)

    sources = list(itertools.product(vectors.contrasts, layers, told))
    directions = torch.stack(
        [
            vectors.directions(contrast)[roles.index(role), place, layer]
            for contrast, layer, role in sources
        ]
    )
    ways = list(itertools.product(config.targets, config.inject, config.scales))
    texts: list[tuple] = []
    for target, inject, scale in ways[-1:] if quick else ways:
        said = patchscope(
            model,
            directions,
            layer=[layer if inject < 0 else inject for _, layer, _ in sources],
            scale=scale,
            target=target,
            mode="add",
            max_new_tokens=config.max_new_tokens,
        )
        texts += [
            (*source, target, inject, scale, text)
            for source, text in zip(sources, said, strict=True)
        ]
    table = pd.DataFrame.from_records(texts, columns=["contrast", "layer", "role", *WAY, "text"])
    place_of_each = judged(model, table["text"].tolist(), roles, usual, progress=False)
    table["rank"] = own_ranks(place_of_each, [roles.index(role) for role in table["role"]])
    table["first"] = [roles[index] for index in place_of_each.argmin(axis=1)]
    table["named"] = [names_role(row.text, row.role) for row in table.itertuples()]
    if config.judge_url is not None:
        table["judge"] = ask_endpoint(
            table["text"].tolist(),
            roles,
            url=config.judge_url,
            model=config.judge_model,
            key=os.environ.get("OPENAI_API_KEY"),
        )

    effects = []
    for domain, asked in questions.items():
        some = tuple(role for role in told if homes[role] == domain)
        grid = Grid(some, tuple(layers), (config.position,), vectors.contrasts)
        kept = folder_of(setup.out / "sweeps", domain)
        found = sweep(model, vectors, asked, kept, grid, **config.asking.asking())
        effects.append(found.iloc[1:].assign(domain=domain))
    measured = pd.concat(effects, ignore_index=True)
    results = Results.of(
        config,
        model,
        texts=table,
        persona=written,
        effects=measured,
        rates=_rates(table, written, len(roles)),
        improving=_improving(table, measured),
    )
    results.write(setup.out)
    return results


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    texts, persona = results.tables["texts"], results.tables["persona"]
    contrasts = list(dict.fromkeys(texts["contrast"]))
    roles = list(dict.fromkeys(texts["role"]))
    chance = results.tables["rates"]["chance@1"].iloc[0]
    texts = texts.assign(
        way=[
            fill(f"“{row.target}”", 36)
            + f"\nat {'its own layer' if row.inject < 0 else f'layer {row.inject}'}, "
            f"× {row.scale:g}"
            for row in texts.itertuples()
        ]
    )
    ways = list(dict.fromkeys(texts["way"]))
    columns = min(4, len(ways))
    rows = -(-len(ways) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis, way in zip(axes.flat, ways, strict=False):
        for contrast in contrasts:
            part = texts[(texts["way"] == way) & (texts["contrast"] == contrast)]
            first = (part["rank"] == 1).groupby(part["layer"]).mean()
            axis.plot(first.index, first, marker="o", markersize=3, **CONTRAST_STYLE[contrast])
        axis.axhline(chance, color="grey", linewidth=0.8, label="chance")
        axis.axhline(
            (persona["rank"] == 1).mean(), color="grey", linestyle=":", label="persona prompts"
        )
        axis.set_title(way, fontsize=7)
        axis.set_ylim(-0.02, 1.02)
    for axis in axes[-1]:
        axis.set_xlabel("layer the direction was read at")
    for row in axes:
        row[0].set_ylabel("share of roles\nthat come first")
    axes.flat[0].legend(fontsize=7, frameon=False)
    save_figure(figure, folder / "says.png")

    report = Report("Patchscope", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "says.png",
        "How often the judge ranks the direction's own role first for what the model wrote; "
        "dotted: for texts written under the role's persona prompt.",
    )
    report.table(
        results.tables["rates"],
        "How often a text's own role comes among the first; an injection layer of -1 is the layer "
        "that the direction was read at.",
    )
    report.table(
        results.tables["improving"],
        "Do directions that improve the answers say their role? p: one-sided, whole roles dealt "
        "out anew.",
    )
    best = texts.sort_values(["named", "rank"], ascending=[False, True], kind="stable")
    best = best.groupby("role", sort=False).head(1).set_index("role").loc[roles].reset_index()
    shown = ["role", "contrast", "layer", *WAY, "rank", "named", "text"]
    report.table(best[shown], "The text of each role that says it best: a choice, not a sample.")
    sample = texts.sample(min(20, len(texts)), random_state=0).sort_index()
    report.table(sample[shown], "Twenty texts at random.")
    report.write(folder / "report.html")


def _rates(texts: pd.DataFrame, persona: pd.DataFrame, n_roles: int) -> pd.DataFrame:
    """How often a text's own role comes among the first, for each way of putting directions in."""
    rows = [{"n": len(persona), **hit_rates(persona["rank"].to_numpy(), n_roles)}]
    for way, part in texts.groupby(WAY, sort=False):
        found = hit_rates(part["rank"].to_numpy(), n_roles)
        found |= dict(zip(WAY, way, strict=True)) | {"n": len(part), "named": part["named"].mean()}
        if "judge" in part:
            found["judge"] = (part["judge"] == part["role"]).mean()
        rows.append(found)
    table = pd.DataFrame(rows)
    table["target"] = table["target"].fillna("(persona prompts)")
    return table[["target", *table.columns.drop("target")]]


def _improving(texts: pd.DataFrame, effects: pd.DataFrame) -> pd.DataFrame:
    """Do directions that improve the answers say their role?

    A direction improves if its effect is above zero; and if it is by two standard errors. It
    says its role if any of its texts does."""
    keys = ["role", "contrast", "layer"]
    says = pd.DataFrame(
        {
            "ranked first": (texts["rank"] == 1).groupby([texts[key] for key in keys]).any(),
            "named": texts["named"].groupby([texts[key] for key in keys]).any(),
        }
    )
    effects = effects.set_index(keys).loc[says.index]
    improves = {
        "effect > 0": effects["effect"] > 0,
        "effect > 2 standard errors": effects["effect"] > 2 * effects["sem"],
        "accuracy rises": effects["accuracy_change"] > 0,
    }
    rows = []
    for (what, better), name in itertools.product(improves.items(), says.columns):
        first, second = (
            one.unstack(["contrast", "layer"]).to_numpy() for one in (better, says[name])
        )
        found = association(first, second)
        rows.append(
            {
                "improves": what,
                "says": name,
                "directions": len(says),
                "improving": int(better.sum()),
                "say, of improving": found.share_if,
                "say, of others": found.share_if_not,
                "p": found.p,
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
