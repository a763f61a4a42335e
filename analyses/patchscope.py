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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from role_lens import (
    NEUTRAL_PERSONA,
    Compute,
    Endpoint,
    Grid,
    RoleLensError,
    RoleVectors,
    chat_text,
)
from role_lens.experiments import TABLE, Store, folder_of, open_store, open_sweep, sweep_asked
from role_lens.judges import (
    PERSONA_QUESTIONS,
    ask_and_keep,
    improving_and_telling,
    judged,
    names_role,
    own_ranks,
    persona_texts,
    ranks,
    role_likelihoods,
    telling_rates,
)
from role_lens.questions import homes_among, sample_by_domain
from role_lens.reading import TARGET, Injection, patchscope, placeholder_positions, word_states
from role_lens.reporting import (
    CONTRAST_STYLE,
    QuestionOptions,
    Report,
    Results,
    Setup,
    every_layer,
    main,
    place_of,
    save_figure,
)
from role_lens.scoring import AskedQuestions, Asker, content_hash, hash_of_vectors

FIRST_LAYER = 2  # that directions are read from
QUIET = Compute(progress=False)


@dataclass(frozen=True)
class Config:
    """Settings of the patchscope analysis."""

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
    role_domains: dict[str, str] | None = None
    """Role and its domain, pair after pair; default: those of the paper."""
    max_questions: int | None = None
    """Most questions of a domain."""
    judge_url: str | None = None
    """An OpenAI-compatible endpoint, such as http://localhost:8000/v1, to judge the texts too."""
    judge_model: str = "default"
    """The judge's name there; its key is read from the environment, OPENAI_API_KEY."""


class Way(NamedTuple):
    """A way of putting a direction in."""

    target: str
    inject: int
    """The layer; -1 for the one that each direction was read at."""
    mode: str
    scale: float


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is to be done, once all that may be refused has been checked."""

    config: Config
    model: Any
    vectors: RoleVectors
    layers: tuple[int, ...]
    """Those that directions are read at."""
    asked: dict[str, AskedQuestions]
    """By domain."""
    roles_of: dict[str, tuple[str, ...]]
    """By domain, the roles whose directions are put in."""
    roles: tuple[str, ...]
    """All of them."""
    texts: Store
    """Of all that is written, so that a run that was stopped goes on."""
    endpoint: Endpoint | None
    """Another judge."""

    @property
    def length(self) -> int:
        """Longest text, in tokens."""
        longest = self.config.max_new_tokens
        return min(8, longest) if self.config.setup.quick else longest

    @property
    def sources(self) -> list[tuple[str, int, str]]:
        """Contrast, layer and role of each direction."""
        return list(itertools.product(self.vectors.contrasts, self.layers, self.roles))

    @property
    def ways(self) -> list[Way]:
        """All that are tried."""
        config = self.config
        sizes = [*(("add", scale) for scale in config.scales), ("replace", 1.0)]
        every = itertools.product(config.targets, config.inject, sizes)
        ways = [Way(target, at, *size) for target, at, size in every]
        return ways[-1:] if config.setup.quick else ways

    def keep(
        self, kind: str, depends_on: Sequence[Any], make: Callable[[], pd.DataFrame]
    ) -> pd.DataFrame:
        """A table of texts, kept by what it depends on beside model and vectors."""
        key = content_hash([self.length, self.config.setup.quick, *depends_on])[:16]
        return self.texts.keep(f"{kind}-{key}.parquet", make, TABLE)


def run(config: Config) -> Results:
    """Sweep, put in, judge, and write tables."""
    prepared = prepare(config)
    effects = effect_table(prepared)
    persona, usual = persona_table(prepared)
    names = name_table(prepared, usual)
    texts = text_table(prepared, usual)
    every = [
        persona.assign(target="(persona prompts)", scale=1.0),
        names.assign(mode="the name itself", scale=1.0),
        texts,
    ]
    results = Results.of(
        config,
        prepared.model,
        prepared.vectors,
        texts=texts,
        names=names,
        persona=persona,
        effects=effects,
        rates=telling_rates(pd.concat(every), Way._fields, prepared.vectors.roles),
        improving=improving_and_telling(texts, effects, seed=config.setup.seed),
    )
    results.write(config.setup.out)
    return results


# Preparation


def prepare(config: Config) -> Prepared:
    """Load, check all settings, divide the questions, and open the folders, which may refuse."""
    setup, quick = config.setup, config.setup.quick
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    layers = tuple(every_layer(vectors, 12 if quick else config.layer_step, first=FIRST_LAYER))
    endpoint = check_settings(config, model, vectors, layers)
    questions = config.asking.load()
    domains = (question.domain for question in questions)
    homes = homes_among(vectors, config.roles, config.role_domains, domains)
    homes = dict(list(homes.items())[:: 15 if quick else 1])
    most = 10 if quick else config.max_questions
    by_domain = sample_by_domain(questions, homes.values(), most, seed=setup.seed)
    asker = Asker(model, config.asking.asking)
    asked = {domain: asker.ask(some) for domain, some in by_domain.items()}
    for domain, some in asked.items():
        open_sweep(some, vectors, sweep_folder(config, domain))
    roles_of = {
        domain: tuple(role for role, home in homes.items() if home == domain) for domain in asked
    }
    made_of = {**asker.model_identity, "vectors": hash_of_vectors(vectors)}
    texts = open_store(setup.out / "texts", made_of)
    return Prepared(config, model, vectors, layers, asked, roles_of, tuple(homes), texts, endpoint)


def check_settings(
    config: Config, model: Any, vectors: RoleVectors, layers: Sequence[int]
) -> Endpoint | None:
    """Refuse what only the texts need, before the sweeps; the other judge, if there is one."""
    place_of(vectors, config.position)
    if not layers or not all(-1 <= one < vectors.n_layers for one in config.inject):
        raise RoleLensError(
            f"the model has layers 0 to {vectors.n_layers - 1}: directions are read from layer "
            f"{FIRST_LAYER} on, and injected at {list(config.inject)}"
        )
    if len(vectors.roles) < 2:
        raise RoleLensError("a judge that ranks roles needs at least two of them")
    if config.max_new_tokens < 1:
        raise RoleLensError(f"a text takes at least 1 token, got {config.max_new_tokens}")
    chat_text(model, "Hello?", NEUTRAL_PERSONA)  # some templates take no system message
    for target in config.targets:
        placeholder_positions(model, target)
    if config.judge_url is None:
        return None
    return Endpoint(config.judge_url, config.judge_model, key=os.environ.get("OPENAI_API_KEY"))


def sweep_folder(config: Config, domain: str) -> Path:
    """Where a domain is swept."""
    return folder_of(config.setup.out / "sweeps", domain)


# Tables


def effect_table(prepared: Prepared) -> pd.DataFrame:
    """What adding each direction does to the answers on its role's domain."""
    config, parts = prepared.config, []
    for domain, asked in prepared.asked.items():
        grid = Grid(
            roles=prepared.roles_of[domain],
            layers=prepared.layers,
            positions=(config.position,),
            contrasts=None,
        )
        found = sweep_asked(asked, prepared.vectors, sweep_folder(config, domain), grid)
        parts.append(found.iloc[1:].assign(domain=domain))
    return pd.concat(parts, ignore_index=True)


def persona_table(prepared: Prepared) -> tuple[pd.DataFrame, np.ndarray]:
    """Texts of which the role is known, judged; and what is usual for each role's name in them."""
    roles = prepared.vectors.roles

    def write() -> pd.DataFrame:
        # All roles: what is usual for a name is not to depend on which of them are looked at.
        prompts = PERSONA_QUESTIONS[: 1 if prepared.config.setup.quick else None]
        written = persona_texts(prepared.model, roles, prompts, max_new_tokens=prepared.length)
        found = role_likelihoods(prepared.model, written["text"].tolist(), roles, compute=QUIET)
        return written.assign(likelihoods=list(found))

    table = prepared.keep("persona", [], write)
    likelihoods = np.stack(table.pop("likelihoods"))
    usual = likelihoods.mean(axis=0)
    table["rank"] = own_ranks(ranks(likelihoods, usual), places(prepared, table))
    table["named"] = named(table)
    table = table[table["role"].isin(prepared.roles)].reset_index(drop=True)
    return ask_endpoint_too(prepared, table), usual


def name_table(prepared: Prepared, usual: np.ndarray) -> pd.DataFrame:
    """What the model writes with the residual stream of each role's own name put in."""

    def write(target: str, at: int) -> pd.DataFrame:
        states = word_states(prepared.model, prepared.roles, at, target=target)
        texts = put_in(prepared, states, Injection(at, target=target))
        table = pd.DataFrame({"role": prepared.roles, "target": target, "inject": at})
        return judge(prepared, usual, table.assign(text=texts))

    parts = []
    injected = sorted({at for at in prepared.config.inject if at >= 0}) or prepared.layers[:1]
    for target, at in itertools.product(prepared.config.targets, injected):
        depends_on = [prepared.roles, target, at]
        part = prepared.keep("name", depends_on, partial(write, target, at))
        parts.append(ask_endpoint_too(prepared, part))
    return pd.concat(parts, ignore_index=True)


def text_table(prepared: Prepared, usual: np.ndarray) -> pd.DataFrame:
    """What the model writes with each direction put in, in every way."""
    sources, position = prepared.sources, prepared.config.position
    directions = torch.stack(
        [
            prepared.vectors.direction(role, layer=layer, position=position, contrast=contrast)
            for contrast, layer, role in sources
        ]
    )

    def write(way: Way) -> pd.DataFrame:
        layers = [layer if way.inject < 0 else way.inject for _, layer, _ in sources]
        texts = put_in(prepared, directions, Injection(layers, way.scale, way.mode, way.target))
        table = pd.DataFrame(sources, columns=["contrast", "layer", "role"])
        return judge(prepared, usual, table.assign(**way._asdict(), text=texts))

    parts = []
    for way in tqdm(prepared.ways, desc="ways of putting them in"):
        part = prepared.keep("texts", [position, sources, way], partial(write, way))
        parts.append(ask_endpoint_too(prepared, part))
    return pd.concat(parts, ignore_index=True)


def put_in(prepared: Prepared, states: Tensor, injection: Injection) -> list[str]:
    """What the model writes with each of these put in."""
    return patchscope(prepared.model, states, injection, max_new_tokens=prepared.length)


def judge(prepared: Prepared, usual: np.ndarray, table: pd.DataFrame) -> pd.DataFrame:
    """With the rank of each text's own role, the role that is ranked first, and whether the own one
    is named."""
    roles, texts = prepared.vectors.roles, table["text"].tolist()
    found = judged(prepared.model, texts, roles, usual, compute=QUIET)
    return table.assign(
        rank=own_ranks(found, places(prepared, table)),
        first=[roles[index] for index in found.argmin(axis=1)],
        named=named(table),
    )


def ask_endpoint_too(prepared: Prepared, table: pd.DataFrame) -> pd.DataFrame:
    """With the role that the other judge names, if there is one; its answers are kept too."""
    if prepared.endpoint is None:
        return table
    texts, folder = table["text"].tolist(), prepared.texts.path
    said = ask_and_keep(texts, prepared.vectors.roles, folder, prepared.endpoint)
    return table.assign(judge=[one or "none" for one in said])


def places(prepared: Prepared, table: pd.DataFrame) -> list[int]:
    """Index of each text's own role."""
    return [prepared.vectors.role_index(role) for role in table["role"]]


def named(table: pd.DataFrame) -> list[bool]:
    """Whether each text has the name of its own role in it."""
    return [names_role(row.text, row.role) for row in table.itertuples()]


# Figures and report


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    draw_says(results, folder / "says.png")
    write_report(results, folder)


def draw_says(results: Results, path: Path) -> None:
    """How often the own role comes first, by layer, a panel for each way of putting it in."""
    texts, names = results.tables["texts"], results.tables["names"]
    chance = results.tables["rates"]["chance@1"].iloc[0]
    ways = dict(list(texts.groupby(list(Way._fields), sort=False)))
    columns = min(3, len(ways))
    rows = -(-len(ways) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis, (way, part) in zip(axes.flat, ways.items(), strict=False):
        way = Way(*way)
        _first_by_layer(axis, part)
        axis.axhline(chance, color="grey", linewidth=0.8, label="chance")
        same = names[names["target"] == way.target]
        same = same[(same["inject"] == way.inject) | (way.inject < 0)]
        for some, style, label in (
            (results.tables["persona"], ":", "persona prompts"),
            (same, "--", "the name itself"),
        ):
            share = (some["rank"] == 1).mean()
            axis.axhline(share, color="grey", linestyle=style, label=label)
        axis.set_title(_title(way), fontsize=7)
        axis.set_ylim(-0.02, 1.02)
    for axis in axes[-1]:
        axis.set_xlabel("layer the direction was read at")
    for row in axes:
        row[0].set_ylabel("share of roles\nthat come first")
    axes.flat[0].legend(fontsize=7, frameon=False)
    save_figure(figure, path)


def _first_by_layer(axis: Axes, texts: pd.DataFrame) -> None:
    """The share of roles that come first, a line for each contrast."""
    for contrast, part in texts.groupby("contrast", sort=False):
        first = (part["rank"] == 1).groupby(part["layer"]).mean()
        axis.plot(first.index, first, marker="o", markersize=3, **CONTRAST_STYLE[contrast])


def _title(way: Way) -> str:
    where = "its own layer" if way.inject < 0 else f"layer {way.inject}"
    how = "in its place" if way.mode == "replace" else f"added × {way.scale:g}"
    return f"{fill(f'“{way.target}”', 36)}\nat {where}, {how}"


def write_report(results: Results, folder: Path) -> None:
    """The page of figures and tables."""
    texts, injected = results.tables["texts"], sorted(set(results.tables["names"]["inject"]))
    report = Report("Patchscope", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "says.png",
        "How often the judge ranks the direction's own role first for what the model wrote; "
        "dotted: for texts written under the role's persona prompt; dashed: for those written with "
        "the residual stream of the role's name put in, at the same layer, or where that is the "
        f"direction's own, at layer {' and '.join(map(str, injected))}.",
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
    shown = ["role", "contrast", "layer", *Way._fields, "rank", "named", "judge", "text"]
    shown = [name for name in shown if name in texts.columns]
    best = texts.sort_values(["named", "rank"], ascending=[False, True], kind="stable")
    best = best.drop_duplicates("role").set_index("role")
    best = best.loc[list(dict.fromkeys(texts["role"]))].reset_index()
    report.table(best[shown], "The text of each role that says it best: a choice, not a sample.")
    sample = texts.sample(min(20, len(texts)), random_state=0).sort_index()
    report.table(sample[shown], f"{len(sample)} texts at random.")
    report.write(folder / "report.html")


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
