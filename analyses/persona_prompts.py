"""Persona prompt, role vector, or both: which helps, and do they move the model alike?

    python analyses/persona_prompts.py --out persona
    python analyses/persona_prompts.py --out persona --redraw

A direction is chosen for each role on validation questions of its own domain. Other questions are
asked with "You are a <role>." as system message, with the direction added, and with both. And the
persona prompt's own shift of the residual stream is held against all roles' directions.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from role_lens import (
    NEUTRAL_PERSONA,
    Grid,
    RoleLensError,
    RoleVectors,
    Selection,
    chat_text,
    persona_prompts,
    spread,
)
from role_lens.experiments import (
    Choice,
    baseline,
    folder_of,
    judge,
    open_conditions,
    open_sweep,
    persona_conditions,
    score_conditions,
    select_by_domain,
    tally,
)
from role_lens.questions import check_numbers, divide, homes_among, sample_each
from role_lens.reading import persona_shift, shift_along_directions
from role_lens.reporting import (
    CONTRAST_STYLE,
    QuestionOptions,
    Report,
    Results,
    Setup,
    main,
    place_of,
    save_figure,
)
from role_lens.scoring import AskedQuestions, Asker

LOOKS = {
    "persona": {"marker": "D", "color": "#d9822b", "label": "persona prompt"},
    "add": {"marker": "o", "color": "#1f3b73", "label": "direction added"},
    "both": {"marker": "s", "color": "#5b9e6f", "label": "both"},
}
INSTEAD_OF = {
    "the template's own system message": None,
    f"“{NEUTRAL_PERSONA}”": NEUTRAL_PERSONA,
}
"""What a persona prompt's shift is compared with, by its name in the tables."""


@dataclass(frozen=True)
class Config:
    """Settings of the persona prompts analysis."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    validation: str | None = None
    """Questions on which directions are chosen: builtin, mmlu, a file or folder; default: half of
    the questions, and directions are tested on the other half."""
    roles: tuple[str, ...] | None = None
    """Default: all whose domain has questions."""
    role_domains: dict[str, str] | None = None
    """Role and its domain, pair after pair; default: those of the paper."""
    max_kl: float | None = Selection.max_kl
    """Largest KL divergence on neutral prompts that a choice may have, in nats; None: no limit."""
    max_validation: int | None = None
    """Most questions of a domain on which directions are chosen, at least 20."""
    max_questions: int | None = None
    """Most test questions of a domain, at least 20."""
    position: int = -1
    """Token position of the shift, from the end of the formatted prompt."""
    n_prompts: int = 16
    """Base prompts that the shift is a mean over."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is to be done, once all that may be refused has been checked."""

    config: Config
    model: Any
    vectors: RoleVectors
    homes: Mapping[str, str]
    """Role -> its domain."""
    choosing: Mapping[str, AskedQuestions]
    """Domain -> the questions that choose."""
    tests: Mapping[str, AskedQuestions]
    """Domain -> the questions that test."""
    prompts: Sequence[str]
    """Base prompts of the shift."""


def run(config: Config) -> Results:
    """Choose, ask, and write tables."""
    prepared = prepare(config)
    choices = choose(prepared)
    results = Results.of(
        config,
        prepared.model,
        prepared.vectors,
        effects=effect_table(prepared, choices),
        choices=pd.DataFrame([choice.row() for choice in choices.values()]),
        shifts=shift_table(prepared),
    )
    results.write(config.setup.out)
    return results


# Preparation


def prepare(config: Config) -> Prepared:
    """Load, divide the questions, and open the folders, which may refuse."""
    setup, quick = config.setup, config.setup.quick
    model = setup.options.load()
    chat_text(model, "Hello?", NEUTRAL_PERSONA)  # some templates take no system message
    vectors = setup.load_vectors(model)
    place_of(vectors, config.position)
    prompts = spread(setup.base_prompts(), 2 if quick else config.n_prompts)
    questions = config.asking.load()
    asked = (question.domain for question in questions)
    homes = homes_among(vectors, config.roles, config.role_domains, asked)
    if quick:
        homes = dict(list(homes.items())[:1])
    validation = config.asking.load_validation(config.validation)
    choosing, testing = divide(questions, validation, homes, setup.seed)
    tests = {domain: testing[domain] for domain in choosing}
    tests = sample_each(tests, 20 if quick else config.max_questions, seed=setup.seed)
    choosing = sample_each(choosing, 20 if quick else config.max_validation, seed=setup.seed)
    check_numbers(choosing, [(domain, True, some) for domain, some in tests.items()])
    asker = Asker(model, config.asking.asking)
    prepared = Prepared(
        config,
        model,
        vectors,
        homes,
        {domain: asker.ask(some) for domain, some in choosing.items()},
        {domain: asker.ask(some) for domain, some in tests.items()},
        prompts,
    )
    for domain, some in prepared.choosing.items():
        open_sweep(some, vectors, folder_of(setup.out / "selection", domain))
    for domain, some in prepared.tests.items():
        open_conditions(some, folder_of(setup.out / "asked", domain))
    return prepared


# Tables


def choose(prepared: Prepared) -> dict[str, Choice]:
    """A direction for each role that has one within the limit."""
    config, quick = prepared.config, prepared.config.setup.quick
    selection = Selection(
        Grid(contrasts=None, screen=2 if quick else 10), max_kl=None if quick else config.max_kl
    )
    folder = config.setup.out / "selection"
    choices = select_by_domain(
        prepared.choosing, prepared.vectors, folder, selection, prepared.homes
    )
    if not choices:
        raise RoleLensError(
            "no role has a direction whose KL divergence is within the limit: raise max_kl, in "
            "another folder"
        )
    return choices


def effect_table(prepared: Prepared, choices: Mapping[str, Choice]) -> pd.DataFrame:
    """What persona prompt, addition and both do to the questions that test."""
    setup, scores = prepared.config.setup, []
    for domain, asked in prepared.tests.items():
        conditions = [baseline()]
        for role in (role for role, home in prepared.homes.items() if home == domain):
            addition = choices[role].patch(prepared.vectors) if role in choices else None
            conditions += persona_conditions(role, addition)
        folder = folder_of(setup.out / "asked", domain)
        scores.append(score_conditions(asked, conditions, folder, domain=domain, in_domain=True))
    return judge(scores, seed=setup.seed)


def shift_table(prepared: Prepared) -> pd.DataFrame:
    """The persona prompts' shifts of the residual stream along all roles' directions."""
    vectors, parts = prepared.vectors, []
    shifts = persona_shift(
        prepared.model,
        prepared.prompts,
        [persona_prompts(role)[0] for role in prepared.homes],
        vectors.positions,
        instead_of=list(INSTEAD_OF.values()),
    )
    for role, of_role in zip(prepared.homes, shifts, strict=True):
        for name, shift in zip(INSTEAD_OF, of_role, strict=True):
            table = shift_along_directions(shift, vectors, role)
            table = table[table["position"] == prepared.config.position]
            parts.append(table.assign(role=role, instead_of=name))
    return pd.concat(parts, ignore_index=True).assign(n_roles=len(vectors.roles))


# Figures and report


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    position = results.record["settings"]["position"]
    draw_effects(results.tables["effects"], folder / "effects.png")
    draw_shifts(results.tables["shifts"], position, folder / "shift.png")
    write_report(results, folder)


def draw_effects(effects: pd.DataFrame, path: Path) -> None:
    """Persona prompt, addition and both, a row for each role."""
    asked = effects[effects["kind"] == "persona"].sort_values(["domain", "role"])
    roles, rows = asked["role"].tolist(), np.arange(len(asked))
    figure = Figure(figsize=(8, 1.5 + 0.3 * len(roles)), layout="constrained")
    axis = figure.subplots()
    neutral = effects[effects["kind"] == "neutral_persona"].set_index("role").loc[roles, "effect"]
    axis.plot(neutral, rows, "|", color="grey", markersize=11, label="“You are a person.”")
    for shift, (kind, look) in zip((-0.22, 0, 0.22), LOOKS.items(), strict=True):
        # No points for a role without a direction within the limit.
        part = effects[effects["kind"] == kind].set_index("role").reindex(roles)
        error = np.stack([part["effect"] - part["low"], part["high"] - part["effect"]])
        shown = {"linestyle": "", "markersize": 4, "elinewidth": 1, **look}
        axis.errorbar(part["effect"], rows + shift, xerr=error, **shown)
    axis.axvline(0, color="black", linewidth=0.8)
    names = [f"{one.role} ({one.domain})" for one in asked.itertuples()]
    axis.set_yticks(rows, names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("mean change of the margin on held-out questions")
    axis.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    save_figure(figure, path)


def draw_shifts(shifts: pd.DataFrame, position: int, path: Path) -> None:
    """The persona prompt's shift beside the directions, a row for each thing it is held against."""
    kinds = list(dict.fromkeys(shifts["instead_of"]))
    n_roles = int(shifts["n_roles"].iloc[0])
    figure = Figure(figsize=(10, 6), layout="constrained")
    for row, instead in zip(figure.subplots(len(kinds), 3, sharex=True), kinds, strict=True):
        _shift_lines(row, shifts[(shifts["instead_of"] == instead) & shifts["rank"].notna()])
        row[0].set_ylabel(f"compared with\n{instead}\n\ncosine, mean over roles", fontsize=8)
        row[0].axhline(0, color="grey", linewidth=0.6)
        row[1].axhline(1 / n_roles, color="grey", linewidth=0.8, label="chance")
        row[1].set_ylabel("share of roles whose own\ndirection is the nearest", fontsize=8)
        row[2].axhline(0, color="grey", linewidth=0.6)
        row[2].set_ylabel("shift along the direction,\nin lengths of it", fontsize=8)
    for axis in figure.axes[-3:]:
        axis.set_xlabel(f"layer (position {position})")
    figure.axes[0].plot([], [], ":", color="black", linewidth=0.8, label="others' directions")
    for axis in figure.axes[:2]:
        axis.legend(frameon=False, fontsize=7)
    save_figure(figure, path)


def _shift_lines(row: Sequence[Axes], shifts: pd.DataFrame) -> None:
    """Cosine, share of the nearest, and length along the direction, by layer and contrast."""
    for contrast, part in shifts.groupby("contrast"):
        by_layer, style = part.groupby("layer"), CONTRAST_STYLE[contrast]
        row[0].plot(by_layer["cosine"].mean(), **style)
        others = by_layer["others"].mean()
        row[0].plot(others, color=style["color"], linewidth=0.8, linestyle=":")
        row[1].plot(by_layer["rank"].agg(lambda ranks: (ranks == 1).mean()), **style)
        row[2].plot(by_layer["along"].mean(), **style)


def write_report(results: Results, folder: Path) -> None:
    """The page of figures and tables."""
    effects = results.tables["effects"]
    report = Report("Persona prompts", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "effects.png",
        "Effects on held-out questions of each role's own domain, with 90 % intervals.",
    )
    report.table(
        tally(effects),
        "How many roles end above and below the unchanged model, p adjusted for a line.",
    )
    columns = ["role", "domain", "n", "kind", "effect", "low", "high", "p_helps_adjusted"]
    shown = effects[effects["kind"].isin([*LOOKS, "both_over_persona"])]
    report.table(shown[columns], "Each role.")
    report.figure(
        folder / "shift.png",
        "The persona prompt's shift of the residual stream, against what the chat template has "
        "without one and against “You are a person.”: its cosine with the role's own direction "
        "(dotted: with the others'), how often the own is the nearest, and what coefficient the "
        "prompt comes to.",
    )
    report.write(folder / "report.html")


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
