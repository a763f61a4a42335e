"""Persona prompt, role vector, or both: which helps, and do they move the model alike?

    python analyses/persona_prompts.py --out persona
    python analyses/persona_prompts.py --out persona --redraw

A direction is chosen for each role on validation questions of its own domain. Other questions are
asked with "You are a <role>." as system message, with the direction added, and with both. And the
persona prompt's own shift of the residual stream is held against all roles' directions.
"""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from role_lens._run.tokens import chat_text
from role_lens.experiments.candidates import Grid
from role_lens.experiments.condition_scores import score_conditions
from role_lens.experiments.conditions import baseline, persona_conditions
from role_lens.experiments.controls import NEUTRAL_PERSONA, persona_prompts
from role_lens.experiments.judgement import judge, tally
from role_lens.experiments.selection import folder_of, select_by_domain
from role_lens.prompts import spread
from role_lens.questions.domains import homes_among
from role_lens.questions.splits import check_numbers, divide, sample_each
from role_lens.reading.persona_shifts import persona_shift, shift_along_directions
from role_lens.reporting.analysis import Results, Setup, main, place_of
from role_lens.reporting.figures import CONTRAST_STYLE, save_figure
from role_lens.reporting.options import QuestionOptions
from role_lens.reporting.report import Report

LOOKS = {
    "persona": {"marker": "D", "color": "#d9822b", "label": "persona prompt"},
    "add": {"marker": "o", "color": "#1f3b73", "label": "direction added"},
    "both": {"marker": "s", "color": "#5b9e6f", "label": "both"},
}


@dataclass(frozen=True)
class Config:
    """What is asked, and of whom."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    validation: str | None = None
    """Questions that choose (builtin, mmlu, a file or folder); default: half of the questions."""
    roles: tuple[str, ...] | None = None
    """Default: all whose domain has questions."""
    domains: dict[str, str] | None = None
    """Role and its domain, pair after pair; default: those of the paper."""
    max_kl: float | None = 0.1
    """Largest KL divergence on neutral prompts that a choice may have, in nats; None: no limit."""
    max_validation: int | None = None
    """Most questions of a domain that choose, at least 20."""
    max_questions: int | None = None
    """Most test questions of a domain, at least 20."""
    position: int = -1
    """Token position of the shift, from the end of the formatted prompt."""
    n_prompts: int = 16
    """Base prompts that the shift is a mean over."""


def run(config: Config) -> Results:
    """Choose, ask, and write tables."""
    setup, asking = config.setup, config.asking.asking()
    model = setup.options.load()
    chat_text(model, "Hello?", NEUTRAL_PERSONA)  # an error now, not after the choice
    vectors = setup.load_vectors(model)
    place_of(vectors, config.position)  # as above
    prompts = spread(setup.base_prompts(), 2 if setup.quick else config.n_prompts)
    questions = config.asking.load()
    homes = homes_among(vectors, config.roles, config.domains, (one.domain for one in questions))
    if setup.quick:
        homes = dict(list(homes.items())[:1])
    validation = config.asking.load_validation(config.validation)
    choosing, testing = divide(questions, validation, homes, setup.seed)
    own = {domain: testing[domain] for domain in choosing}
    tests = sample_each(own, 20 if setup.quick else config.max_questions, seed=setup.seed)
    limit = 20 if setup.quick else config.max_validation
    choosing = sample_each(choosing, limit, seed=setup.seed)
    check_numbers(choosing, [(domain, True, asked) for domain, asked in tests.items()])
    choices = select_by_domain(
        model,
        vectors,
        choosing,
        setup.out / "selection",
        Grid(contrasts=vectors.contrasts),
        homes,
        screen=2 if setup.quick else 10,
        max_kl=None if setup.quick else config.max_kl,
        **asking,
    )
    scores = []
    for domain, asked in tests.items():
        conditions = [baseline()]
        for role in (role for role, home in homes.items() if home == domain):
            addition = choices[role].addition(vectors) if role in choices else None
            conditions += persona_conditions(role, addition)
        kept = folder_of(setup.out / "asked", domain)
        scores.append(
            score_conditions(
                model, asked, conditions, kept, domain=domain, in_domain=True, **asking
            )
        )
    instead_of = {
        "the template's own system message": None,
        f"“{NEUTRAL_PERSONA}”": NEUTRAL_PERSONA,
    }
    personas = [persona_prompts(role)[0] for role in homes]
    moved = persona_shift(
        model, prompts, personas, vectors.positions, instead_of=list(instead_of.values())
    )
    shifts = []
    for role, of_role in zip(homes, moved, strict=True):
        for name, shift in zip(instead_of, of_role, strict=True):
            table = shift_along_directions(shift, vectors, role)
            table = table[table["position"] == config.position]
            shifts.append(table.assign(role=role, instead_of=name))
    results = Results.of(
        config,
        model,
        vectors,
        effects=judge(scores, seed=setup.seed),
        choices=pd.DataFrame(map(asdict, choices.values())),
        shifts=pd.concat(shifts, ignore_index=True).assign(n_roles=len(vectors.roles)),
    )
    results.write(setup.out)
    return results


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    effects, shifts = results.tables["effects"], results.tables["shifts"]
    asked = effects[effects["kind"] == "persona"].sort_values(["domain", "role"])
    roles = asked["role"].tolist()
    homes = effects.drop_duplicates("role").set_index("role")["domain"]
    figure = Figure(figsize=(8, 1.5 + 0.3 * len(roles)), layout="constrained")
    axis = figure.subplots()
    rows = np.arange(len(roles))
    neutral = effects[effects["kind"] == "neutral_persona"].set_index("role").loc[roles]
    axis.plot(
        neutral["effect"], rows, "|", color="grey", markersize=11, label="“You are a person.”"
    )
    for shift, (kind, look) in zip((-0.22, 0, 0.22), LOOKS.items(), strict=True):
        # No points for a role without a direction within the limit.
        part = effects[effects["kind"] == kind].set_index("role").reindex(roles)
        error = np.stack([part["effect"] - part["low"], part["high"] - part["effect"]])
        axis.errorbar(
            part["effect"],
            rows + shift,
            xerr=error,
            linestyle="",
            markersize=4,
            elinewidth=1,
            **look,
        )
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(rows, [f"{role} ({homes[role]})" for role in roles], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("mean change of log p(correct) on held-out questions, nats")
    axis.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    save_figure(figure, folder / "effects.png")

    kinds = list(dict.fromkeys(shifts["instead_of"]))
    n_roles = int(shifts["n_roles"].iloc[0])
    figure = Figure(figsize=(10, 6), layout="constrained")
    for row, instead in zip(figure.subplots(len(kinds), 3, sharex=True), kinds, strict=True):
        for contrast, style in CONTRAST_STYLE.items():
            some = (shifts["instead_of"] == instead) & (shifts["contrast"] == contrast)
            part = shifts[some & shifts["rank"].notna()]
            if part.empty:
                continue
            by_layer = part.groupby("layer")
            row[0].plot(by_layer["cosine"].mean(), **style)
            others = by_layer["others"].mean()
            row[0].plot(others, color=style["color"], linewidth=0.8, linestyle=":")
            row[1].plot(by_layer["rank"].agg(lambda ranks: (ranks == 1).mean()), **style)
            row[2].plot(by_layer["along"].mean(), **style)
        row[0].set_ylabel(f"compared with\n{instead}\n\ncosine, mean over roles", fontsize=8)
        row[0].axhline(0, color="grey", linewidth=0.6)
        row[1].axhline(1 / n_roles, color="grey", linewidth=0.8, label="chance")
        row[1].set_ylabel("share of roles whose own\ndirection is the nearest", fontsize=8)
        row[2].axhline(0, color="grey", linewidth=0.6)
        row[2].set_ylabel("shift along the direction,\nin lengths of it", fontsize=8)
    for axis in figure.axes[-3:]:
        axis.set_xlabel(f"layer (position {results.record['settings']['position']})")
    figure.axes[0].plot([], [], ":", color="black", linewidth=0.8, label="others' directions")
    for axis in figure.axes[:2]:
        axis.legend(frameon=False, fontsize=7)
    save_figure(figure, folder / "shift.png")

    report = Report("Persona prompts", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "effects.png",
        "Effects on held-out questions of each role's own domain, with 90 % intervals.",
    )
    report.table(tally(effects), "How many roles are helped and hurt, p adjusted for a line.")
    columns = ["role", "domain", "n", "kind", "effect", "low", "high", "p_helps_adjusted"]
    shown = effects[effects["kind"].isin([*LOOKS, "both_over_persona"])]
    report.table(shown[[*columns, "verdict"]], "In words.")
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
