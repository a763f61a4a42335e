"""Does a direction say its role when it is put in the place of a word? And do those that help?

    python analyses/patchscope.py --out patchscope
    python analyses/patchscope.py --out patchscope --redraw

Every role's direction is put into a prompt's placeholder, "What does X represent?", from several
layers, at several layers and sizes. The unpatched model ranks all roles' names for what it wrote,
after ranking texts that it wrote under persona prompts, where the role is known. Beside it stands
what the model writes when the residual stream of the role's name is put in. Then: of those
directions that improve the answers on their role's domain, how many say their role?
"""

import itertools
import os
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from role_lens._run.tokens import chat_text
from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import Grid
from role_lens.experiments.controls import NEUTRAL_PERSONA
from role_lens.experiments.identity import hash_of_vectors, model_identity
from role_lens.experiments.selection import folder_of
from role_lens.experiments.store import content_hash, kept_table
from role_lens.experiments.sweeps import sweep
from role_lens.files import make_folder
from role_lens.judges.endpoint import ask_and_keep, check_address
from role_lens.judges.likelihood import (
    PERSONA_QUESTIONS,
    judged,
    names_role,
    own_ranks,
    persona_texts,
    ranks,
    role_likelihoods,
)
from role_lens.judges.telling import improving_and_telling, telling_rates
from role_lens.questions.domains import homes_among
from role_lens.questions.splits import sample_by_domain
from role_lens.reading.patchscopes import (
    TARGET,
    Mode,
    patchscope,
    placeholder_positions,
    word_states,
)
from role_lens.reporting.analysis import Results, Setup, every_layer, main, place_of
from role_lens.reporting.figures import CONTRAST_STYLE, save_figure
from role_lens.reporting.options import QuestionOptions
from role_lens.reporting.report import Report

WAY = ["target", "inject", "mode", "scale"]


@dataclass(frozen=True)
class Config:
    """What is put where."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    roles: tuple[str, ...] | None = None
    """Roles whose directions are put in; default: all whose domain has questions."""
    position: int = -1
    """Token position that directions are read from, from the end of the formatted prompt."""
    layer_step: int = 4
    """Every how many layers directions are read, from layer 2 on."""
    inject: tuple[int, ...] = (-1, 3)
    """Layers that directions are put in at; -1 for the layer that each was read at."""
    scales: tuple[float, ...] = (1.0, 4.0)
    """How many times the raw direction is added; it is also put in alone, as long as what it
    replaces."""
    targets: tuple[str, ...] = (TARGET, "Who would be interested in X? Describe such a person.")
    """Prompts with the word X."""
    max_new_tokens: int = 24
    """Longest text, in tokens."""
    domains: dict[str, str] | None = None
    """Role and its domain, pair after pair; default: those of the paper."""
    max_questions: int | None = None
    """Most questions of a domain."""
    judge_url: str | None = None
    """An OpenAI-compatible endpoint, such as http://localhost:8000/v1, to judge the texts too."""
    judge_model: str = "default"
    """The judge's name there; its key is read from the environment, OPENAI_API_KEY."""


def run(config: Config) -> Results:
    """Sweep, put in, judge, and write tables."""
    setup, quick, asking = config.setup, config.setup.quick, config.asking.asking()
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    place_of(vectors, config.position)  # an error now, not after the sweeps
    layers = tuple(every_layer(vectors, 12 if quick else config.layer_step, first=2))
    if not layers or not all(-1 <= one < vectors.n_layers for one in config.inject):
        raise RoleLensError(
            f"the model has layers 0 to {vectors.n_layers - 1}: directions are read from layer 2 "
            f"on, and injected at {list(config.inject)}"
        )
    # As above: errors now, for what only the texts need.
    if len(vectors.roles) < 2:
        raise RoleLensError("a judge that ranks roles needs at least two of them")
    if config.max_new_tokens < 1:
        raise RoleLensError(f"a text takes at least 1 token, got {config.max_new_tokens}")
    if config.judge_url is not None:
        check_address(config.judge_url)
    chat_text(model, "Hello?", NEUTRAL_PERSONA)
    for target in config.targets:
        placeholder_positions(model, target)
    questions = config.asking.load()
    homes = homes_among(vectors, config.roles, config.domains, (one.domain for one in questions))
    roles = tuple(homes)[:: 15 if quick else 1]
    homes = {role: homes[role] for role in roles}
    most = 10 if quick else config.max_questions
    effects = []
    for domain, asked in sample_by_domain(questions, homes.values(), most, seed=setup.seed).items():
        some = tuple(role for role in roles if homes[role] == domain)
        grid = Grid(some, layers, (config.position,), vectors.contrasts)
        kept = folder_of(setup.out / "sweeps", domain)
        found = sweep(model, vectors, asked, kept, grid, **asking)
        effects.append(found.iloc[1:].assign(domain=domain))

    sources = list(itertools.product(vectors.contrasts, layers, roles))
    directions = torch.stack(
        [
            vectors.direction(role, layer=layer, position=config.position, contrast=contrast)
            for contrast, layer, role in sources
        ]
    )
    # What is written is kept by what it depends on, so that a run that was stopped goes on.
    folder = make_folder(setup.out / "texts")
    length = min(8, config.max_new_tokens) if quick else config.max_new_tokens
    identity = [hash_of_vectors(vectors), list(vectors.roles), model_identity(model), quick]
    identity += [config.position, length]

    def asked_of_endpoint(table: pd.DataFrame) -> pd.DataFrame:
        if config.judge_url is None:
            return table
        said = ask_and_keep(
            table["text"].tolist(),
            vectors.roles,
            folder,
            url=config.judge_url,
            model=config.judge_model,
            key=os.environ.get("OPENAI_API_KEY"),
        )
        return table.assign(judge=[one or "none" for one in said])

    def persona() -> pd.DataFrame:
        # All roles: what is usual for a name is not to depend on which of them are looked at.
        written = persona_texts(
            model, vectors.roles, PERSONA_QUESTIONS[: 1 if quick else None], max_new_tokens=length
        )
        found = role_likelihoods(model, written["text"].tolist(), vectors.roles, progress=False)
        return written.assign(likelihoods=list(found))

    written = kept_table(folder / f"persona-{content_hash(identity)[:16]}.parquet", persona)
    likelihoods = np.stack(written.pop("likelihoods"))
    usual = likelihoods.mean(axis=0)
    truth = [vectors.role_index(role) for role in written["role"]]
    written["rank"] = own_ranks(ranks(likelihoods, usual), truth)
    written["named"] = [names_role(row.text, row.role) for row in written.itertuples()]
    written = asked_of_endpoint(written[written["role"].isin(roles)].reset_index(drop=True))

    def judge(table: pd.DataFrame) -> pd.DataFrame:
        texts = table["text"].tolist()
        found = judged(model, texts, vectors.roles, usual, progress=False)
        table["rank"] = own_ranks(found, [vectors.role_index(role) for role in table["role"]])
        table["first"] = [vectors.roles[index] for index in found.argmin(axis=1)]
        table["named"] = [names_role(row.text, row.role) for row in table.itertuples()]
        return table

    def put_in(target: str, at: int, mode: Mode, scale: float) -> pd.DataFrame:
        texts = patchscope(
            model,
            directions,
            layer=[layer if at < 0 else at for _, layer, _ in sources],
            scale=scale,
            target=target,
            mode=mode,
            max_new_tokens=length,
        )
        table = pd.DataFrame(sources, columns=["contrast", "layer", "role"])
        table = table.assign(target=target, inject=at, mode=mode, scale=scale, text=texts)
        return judge(table)

    def put_name_in(target: str, at: int) -> pd.DataFrame:
        states = word_states(model, roles, at, target=target)
        texts = patchscope(model, states, layer=at, target=target, max_new_tokens=length)
        table = pd.DataFrame({"role": roles, "target": target, "inject": at, "text": texts})
        return judge(table)

    sizes: list[tuple[Mode, float]] = [("add", scale) for scale in config.scales]
    ways = [
        (target, at, *size)
        for target, at, size in itertools.product(
            config.targets, config.inject, [*sizes, ("replace", 1.0)]
        )
    ]
    texts, names = [], []
    at_layers = sorted({one for one in config.inject if one >= 0}) or layers[:1]
    for target, at in itertools.product(config.targets, at_layers):
        name = content_hash(identity, roles, target, at)[:16]
        part = kept_table(folder / f"name-{name}.parquet", partial(put_name_in, target, at))
        names.append(asked_of_endpoint(part))
    for way in tqdm(ways[-1:] if quick else ways, desc="ways of putting them in"):
        name = content_hash(identity, sources, way)[:16]
        part = kept_table(folder / f"texts-{name}.parquet", partial(put_in, *way))
        texts.append(asked_of_endpoint(part))
    table, name_itself, measured = (
        pd.concat(some, ignore_index=True) for some in (texts, names, effects)
    )
    every = pd.concat(
        [
            written.assign(target="(persona prompts)", scale=1.0),
            name_itself.assign(mode="the name itself", scale=1.0),
            table,
        ]
    )
    results = Results.of(
        config,
        model,
        vectors,
        texts=table,
        names=name_itself,
        persona=written,
        effects=measured,
        rates=telling_rates(every, WAY, vectors.roles),
        improving=improving_and_telling(table, measured, seed=setup.seed),
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
            + ("in its place" if row.mode == "replace" else f"added × {row.scale:g}")
            for row in texts.itertuples()
        ]
    )
    ways = list(dict.fromkeys(texts["way"]))
    columns = min(3, len(ways))
    rows = -(-len(ways) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    names = results.tables["names"]
    for axis, way in zip(axes.flat, ways, strict=False):
        for contrast in contrasts:
            part = texts[(texts["way"] == way) & (texts["contrast"] == contrast)]
            first = (part["rank"] == 1).groupby(part["layer"]).mean()
            axis.plot(first.index, first, marker="o", markersize=3, **CONTRAST_STYLE[contrast])
        axis.axhline(chance, color="grey", linewidth=0.8, label="chance")
        target, at = texts.loc[texts["way"] == way, ["target", "inject"]].iloc[0]
        same = names[(names["target"] == target) & ((names["inject"] == at) | (at < 0))]
        for some, style, label in (
            (persona, ":", "persona prompts"),
            (same, "--", "the name itself"),
        ):
            share = (some["rank"] == 1).mean()
            axis.axhline(share, color="grey", linestyle=style, label=label)
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
        "dotted: for texts written under the role's persona prompt; dashed: for those written with "
        "the residual stream of the role's name put in, at the same layer, or where that is the "
        f"direction's own, at {_layers(results.tables['names']['inject'])}.",
    )
    report.table(
        results.tables["rates"],
        "How often a text's own role comes among the first, has its name in it, or that of "
        "another role (mean over them); an injection layer of -1 is the layer that the direction "
        "was read at.",
    )
    report.table(
        results.tables["improving"],
        "Do directions that improve the answers say their role? p: one-sided, of each line alone; "
        "roles are dealt out anew among those of their domain.",
    )
    best = texts.sort_values(["named", "rank"], ascending=[False, True], kind="stable")
    best = best.groupby("role", sort=False).head(1).set_index("role").loc[roles].reset_index()
    shown = ["role", "contrast", "layer", *WAY, "rank", "named", "judge", "text"]
    shown = [name for name in shown if name in texts.columns]
    report.table(best[shown], "The text of each role that says it best: a choice, not a sample.")
    sample = texts.sample(min(20, len(texts)), random_state=0).sort_index()
    report.table(sample[shown], f"{len(sample)} texts at random.")
    report.write(folder / "report.html")


def _layers(numbers: pd.Series) -> str:
    return "layer " + " and ".join(map(str, sorted(set(numbers))))


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
