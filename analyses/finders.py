"""Which way of finding directions is best: at telling a role, at steering, at helping?

    python analyses/finders.py --out finders --roles economist nurse --scoring cloze
    python analyses/finders.py --out finders --redraw

Each way's directions are chosen on some questions and tested on others, with random directions of
its own (`compare_finders`). The chosen ones are also asked how well they tell held-out prompts of
their role, and how well they steer: which role a text is about, and what that costs in fluency.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from role_lens import (
    DirectionSpec,
    Exam,
    Grid,
    Patch,
    RoleLensError,
    RoleVectors,
    Selection,
    TestPlan,
    generate,
    load_roles,
    persona_prompts,
)
from role_lens.experiments import TABLE, Store, compare_finders, open_store, rotated
from role_lens.finders import FINDERS, Finder
from role_lens.judges import (
    PERSONA_QUESTIONS,
    fluency,
    ranks,
    repetition,
    role_likelihoods,
)
from role_lens.questions import homes_among
from role_lens.reporting import (
    QuestionOptions,
    Report,
    Results,
    Setup,
    every_layer,
    main,
    save_figure,
)
from role_lens.scoring import content_hash

BY_WHOM = {
    "plain": "unchanged model",
    "random": "random direction",
    "steered": "direction",
    "persona": "persona prompt",
}
"""What a text was written under, and how it is called."""


@dataclass(frozen=True)
class Config:
    """Settings of the finders analysis."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    validation: str | None = None
    """Questions on which directions are chosen: builtin, mmlu, a file or folder; default: half of
    the questions, and directions are tested on the other half."""
    finders: tuple[str, ...] = ("means", "pca", "probe", "whitened")
    """Ways of finding directions, by their names."""
    answers: Path | None = None
    """A folder written by `role-lens answers`: finder `answers` is tried too, and `learned` may be
    named."""
    sae: Path | None = None
    """A folder of SAELens: finder `sae` is tried too, at its layer."""
    roles: tuple[str, ...] | None = None
    """Default: all whose domain has questions."""
    role_domains: dict[str, str] | None = None
    """Role and its domain, pair after pair; default: those of the paper."""
    layer_step: int = 3
    """Every how many layers directions are looked for and tried; the last fifth is left out."""
    max_kl: float | None = Selection.max_kl
    """Largest KL divergence on neutral prompts that a choice may have, in nats; None: no limit."""
    max_validation: int | None = None
    """Most questions of a domain on which directions are chosen, at least 20."""
    max_questions: int | None = None
    """Most test questions of a domain, at least 20."""
    learning_steps: int = 0
    """Steps in which the best addition at each chosen place is learned, at most; 0 for none."""
    judge_all: bool = False
    """Judge a domain even if the unchanged model's answers carry no knowledge there."""
    coefficient: float = 2.0
    """How many times a direction is added where it steers texts."""
    max_new_tokens: int = 48
    """Longest text, in tokens."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is to be done, once all that may be refused has been checked."""

    config: Config
    model: Any
    means: RoleVectors
    finders: Mapping[str, Finder]
    roles: tuple[str, ...]
    layers: tuple[int, ...]
    exam: Exam
    store: Store


def run(config: Config) -> Results:
    """Find, choose, test, steer, and write tables."""
    prepared = prepare(config)
    found, costs = find(prepared)
    quick = config.setup.quick
    selection = Selection(
        Grid(prepared.roles, layers=prepared.layers, positions=(-1,), screen=1),
        max_kl=None if quick else config.max_kl,
    )
    folder = config.setup.out / "comparisons"
    verdict = compare_finders(
        prepared.model, found, prepared.exam, folder, selection, plan_of(config)
    )
    results = Results.of(
        config,
        prepared.model,
        prepared.means,
        verdict=verdict,
        pooled=pd.read_parquet(folder / "pooled.parquet"),
        telling=telling_table(found, verdict),
        texts=text_table(prepared, found, verdict),
        costs=costs,
    )
    results.write(config.setup.out)
    return results


# Preparation


def prepare(config: Config) -> Prepared:
    """Load, and check what may be refused."""
    setup = config.setup
    exam = Exam(
        config.asking.load(),
        config.asking.load_validation(config.validation),
        config.asking.asking,
        config.role_domains or {},
    )
    names = [*config.finders, *(n for n in ("answers", "sae") if getattr(config, n) is not None)]
    if len(set(names)) < len(names):
        raise RoleLensError(f"a finder is named twice: {', '.join(names)}")
    model = setup.options.load()
    means = setup.with_prompts(setup.load_vectors(model))  # the other ways are of these too
    asked = (question.domain for question in exam.questions)
    roles = tuple(homes_among(means, config.roles, config.role_domains, asked))
    roles = roles[:1] if setup.quick else roles
    first = min(config.layer_step, means.n_layers - 1)
    layers = tuple(every_layer(means, config.layer_step, first=first))
    layers = layers[-1:] if setup.quick else layers[: max(1, round(0.8 * len(layers)))]
    finders = {name: finder(name, config, layers) for name in names}
    identity = {"run": "steps of finders", "answers": known(config.answers)}
    store = open_store(setup.out / "steps", identity)
    return Prepared(config, model, means, finders, roles, layers, exam, store)


def finder(name: str, config: Config, layers: Sequence[int]) -> Finder:
    """A way of finding, at some layers."""
    made = FINDERS[name]
    given = {"layers": tuple(layers), "answers": config.answers, "sae": config.sae}
    return made(**{k: v for k, v in given.items() if v is not None and hasattr(made, k)})


def known(answers: Path | None) -> str | None:
    """What tells the answers from others."""
    if answers is None:
        return None
    file = answers / "answers.jsonl" if answers.is_dir() else answers
    return content_hash(file.read_bytes()) if file.is_file() else str(file)  # refused later


def plan_of(config: Config) -> TestPlan:
    """How directions are tested: beside random ones, without what says nothing of a finder."""
    quick = config.setup.quick
    return TestPlan(
        n_random_ablations=0,
        n_shuffled=0,
        n_other=0,
        n_phrasings=0,
        max_validation=20 if quick else config.max_validation,
        max_questions=20 if quick else config.max_questions,
        max_off_domain=0,
        learning_steps=0 if quick else config.learning_steps,
        judge_all=quick or config.judge_all,
        seed=config.setup.seed,
    )


# Tables


def find(prepared: Prepared) -> tuple[dict[str, RoleVectors], pd.DataFrame]:
    """Role vectors by each way, and the seconds that each whole fit took."""
    setup, found, rows = prepared.config.setup, {}, []
    prompts = {role: setup.role_prompts()[role] for role in prepared.roles}
    for name, used in prepared.finders.items():
        file = prepared.store.path / f"{name}.safetensors"
        cost = prepared.store.path / f"{name}.parquet"
        if name == "means":
            found[name] = prepared.means
            continue
        if not (file.exists() and cost.exists()):
            began = time.perf_counter()
            vectors = RoleVectors.fit(
                prepared.model,
                prompts,
                setup.base_prompts(),
                finder=used,
                positions=(-1,),
                system=prepared.means.provenance["system"],
            )
            taken = time.perf_counter() - began
            vectors.save(file)
            prepared.store.keep(cost.name, partial(cost_row, name, taken, len(prompts)), TABLE)
        found[name] = RoleVectors.load(file)
        rows.append(pd.read_parquet(cost))
    empty = cost_row("means", np.nan, 0).iloc[:0]
    return found, pd.concat([empty, *rows], ignore_index=True)


def cost_row(name: str, seconds: float, n_roles: int) -> pd.DataFrame:
    """A row of the table of costs."""
    return pd.DataFrame({"finder": [name], "roles": [n_roles], "seconds": [seconds]})


def telling_table(found: Mapping[str, RoleVectors], verdict: pd.DataFrame) -> pd.DataFrame:
    """How well each chosen direction, found on half of the prompts, tells the other half of its
    role from that of the base prompts (from the other roles', for contrast `roles`)."""
    rows = []
    for row in chosen(verdict):
        vectors, spec = found[row["finder"]], spec_of(row)
        place = vectors.role_index(spec.role), vectors.positions.index(spec.position), spec.layer
        separation = float(vectors.separation[spec.contrast][place])
        # Of two normal distributions of one variance.
        area = float(torch.special.ndtr(torch.tensor(separation / 2**0.5)))
        rows.append(
            {"finder": row["finder"], "role": spec.role, "d_prime": separation, "auc": area}
        )
    return pd.DataFrame(rows, columns=["finder", "role", "d_prime", "auc"])


def text_table(
    prepared: Prepared, found: Mapping[str, RoleVectors], verdict: pd.DataFrame
) -> pd.DataFrame:
    """Texts under each chosen direction, a random one, a persona prompt and nothing, with the rank
    of the role, the log-likelihood and the repetition of each."""
    config = prepared.config

    def texts() -> pd.DataFrame:
        parts = [written(prepared, "plain", None, None, None)]
        for role in prepared.roles:
            system = persona_prompts(role)[0]
            parts.append(written(prepared, "persona", None, role, None, system))
        for row in chosen(verdict):
            spec, name = spec_of(row), row["finder"]
            by = {"steered": found[name], "random": rotated(found[name], seed=config.setup.seed)}
            for what, vectors in by.items():
                patch = vectors.add(
                    spec.role,
                    layer=spec.layer,
                    position=spec.position,
                    contrast=spec.contrast,
                    coefficient=config.coefficient,
                )
                parts.append(written(prepared, what, name, spec.role, patch))
        return pd.concat(parts, ignore_index=True)

    table = prepared.store.keep("texts.parquet", texts, TABLE)
    return prepared.store.keep("judged.parquet", partial(judge_texts, prepared, table), TABLE)


def written(
    prepared: Prepared,
    what: str,
    name: str | None,
    role: str | None,
    patch: Patch | None,
    system: str | None = None,
) -> pd.DataFrame:
    """What the model writes about itself."""
    longest = 8 if prepared.config.setup.quick else prepared.config.max_new_tokens
    prompts = list(PERSONA_QUESTIONS)
    texts = generate(prepared.model, prompts, patch=patch, system=system, max_new_tokens=longest)
    return pd.DataFrame(
        {"what": what, "finder": name, "role": role, "prompt": prompts, "text": texts}
    )


def judge_texts(prepared: Prepared, table: pd.DataFrame) -> pd.DataFrame:
    """With the rank of the role among all names, the log-likelihood per token, and repetition."""
    names = sorted({*prepared.means.roles, *load_roles("builtin")})
    likelihoods = role_likelihoods(prepared.model, list(table["text"]), names)
    found = ranks(likelihoods, likelihoods[(table["what"] == "plain").to_numpy()].mean(axis=0))
    own = [
        np.nan if pd.isna(role) else found[number, names.index(role)]
        for number, role in enumerate(table["role"])
    ]
    return table.assign(
        rank=own,
        n_names=len(names),
        loglikelihood=fluency(prepared.model, list(table["prompt"]), list(table["text"])),
        repetition=[repetition(text) for text in table["text"]],
    )


def chosen(verdict: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of roles for which a direction was chosen."""
    return verdict[verdict["layer"].notna()].to_dict("records")


def spec_of(row: Mapping[str, Any]) -> DirectionSpec:
    """The direction of a row of the verdict."""
    return replace(DirectionSpec.of_row(row), coefficient=1.0)


# Figures and report


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    if len(results.tables["telling"]):  # else there is nothing to judge
        draw_finders(results, folder / "finders.png")
    write_report(results, folder)


def draw_finders(results: Results, path: Path) -> None:
    """Telling, steering and helping side by side, a row for each way."""
    tables = results.tables
    names = list(dict.fromkeys(tables["verdict"]["finder"]))
    place = {name: i for i, name in enumerate(names)}
    figure = Figure(figsize=(11, 1.8 + 0.55 * len(names)), layout="constrained")
    telling, steering, costs, helping = figure.subplots(1, 4, sharey=True)
    dots(telling, tables["telling"], "auc", place)
    telling.axvline(0.5, color="grey", linewidth=0.8)
    telling.set_xlabel("telling: area under the curve,\nheld-out prompts")
    texts = tables["texts"]
    for what, color in (("random", "grey"), ("steered", "#1f3b73")):
        part = texts[texts["what"] == what].groupby(["finder", "role"], as_index=False)
        mean = part[["rank", "loglikelihood"]].mean()
        dots(steering, mean, "rank", place, color=color, label=BY_WHOM[what])
        dots(costs, mean, "loglikelihood", place, color=color)
    persona = texts.loc[texts["what"] == "persona", ["rank", "loglikelihood"]].mean()
    plain = texts.loc[texts["what"] == "plain", "loglikelihood"].mean()
    steering.axvline(persona["rank"], color="#d9822b", label=BY_WHOM["persona"])
    costs.axvline(plain, color="black", linewidth=0.8, label=BY_WHOM["plain"])
    steering.set_xlabel("steering: rank of the role\n(1 is best)")
    costs.set_xlabel("its cost: log-likelihood\nof the text per token")
    for axis in (steering, costs):
        axis.legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0, 1))
    together = tables["pooled"][tables["pooled"]["domain"] == "all"]
    dots(helping, tables["verdict"], "excess", place)
    for one in together.itertuples():
        row = place[one.finder]
        helping.plot([one.low, one.high], [row + 0.25] * 2, color="#b3323e", linewidth=3)
    helping.axvline(0, color="grey", linewidth=0.8)
    helping.set_xlabel("helping: more than random by\n(bar: all roles together, 90 %)")
    telling.set_yticks(range(len(names)), names)
    telling.invert_yaxis()
    save_figure(figure, path)


def dots(
    axis: Axes,
    table: pd.DataFrame,
    column: str,
    place: Mapping[str, int],
    color: str = "#1f3b73",
    label: str | None = None,
) -> None:
    """A dot for each role, and a line at the mean, in the row of its way."""
    rows = table["finder"].map(place)
    axis.plot(table[column], rows, "o", color=color, alpha=0.5, markersize=4, label=label)
    for name, mean in table.groupby("finder")[column].mean().items():
        axis.plot([mean] * 2, [place[name] - 0.2, place[name] + 0.2], color=color, linewidth=2)


def write_report(results: Results, folder: Path) -> None:
    """The page of figures and tables."""
    tables = results.tables
    report = Report("Finders", __doc__.split("\n")[0], results.record)
    if len(tables["telling"]):
        report.figure(
            folder / "finders.png",
            "A dot for each role, a line at their mean. Telling: the direction is found on half of "
            "the prompts, and tells the other half from base prompts (of contrast roles: from "
            "other roles'). Steering: texts of which the role judge ranks all roles. Helping: "
            "effect on the margin beyond the mean of random directions that were chosen alike.",
        )
        report.table(summary_table(tables), "Means over roles.")
    report.table(tables["verdict"], "Each role, chosen and tested; p adjusted for all rows.")
    report.table(tables["pooled"], "All roles of each way together, against random directions.")
    report.table(
        tables["texts"]
        .groupby(["what", "finder"], dropna=False, as_index=False)[
            ["rank", "loglikelihood", "repetition"]
        ]
        .mean(),
        "Texts: mean rank of the role, log-likelihood per token, share of repeated runs of words.",
    )
    some = tables["texts"].groupby(["what", "finder", "role"], dropna=False).head(1)
    report.table(some[["what", "finder", "role", "rank", "text"]], "The first text of each.")
    report.write(folder / "report.html")


def summary_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row for each way: what it does best, and what it costs."""
    texts = tables["texts"][tables["texts"]["what"] == "steered"].groupby("finder")
    together = tables["pooled"][tables["pooled"]["domain"] == "all"].set_index("finder")
    means = {
        "auc": tables["telling"].groupby("finder")["auc"].mean(),
        "rank": texts["rank"].mean(),
        "loglikelihood": texts["loglikelihood"].mean(),
        "repetition": texts["repetition"].mean(),
        "effect": tables["verdict"].groupby("finder")["add"].mean(),
        **{name: together[name] for name in ("excess", "low", "high", "p_more")},
        "seconds": tables["costs"].set_index("finder")["seconds"],
    }
    names = list(dict.fromkeys(tables["verdict"]["finder"]))
    table = pd.DataFrame(means).reindex(names)
    return table.rename_axis("finder").reset_index()


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
