"""Does a role's direction help on its own domain, and what does it do to all others?

    python analyses/benchmark_transfer.py --out transfer
    python analyses/benchmark_transfer.py --out transfer --questions mmlu --validation mmlu \
        --benchmarks arc_challenge.jsonl --max-questions 60
    python analyses/benchmark_transfer.py --out transfer --redraw

A direction is chosen for each role on validation questions of its own domain. On other questions
its effects on every domain are set beside the persona prompt's, those of random directions that
were chosen alike, and the other controls of `role-lens compare`.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from role_lens import Exam, Grid, RoleVectors, Selection, TestPlan, compare, load_questions
from role_lens.experiments import LEVEL, pooled, tally
from role_lens.questions import homes_among
from role_lens.reporting import (
    QuestionOptions,
    Report,
    Results,
    Setup,
    main,
    plot_comparison,
    plot_transfer,
    save_figure,
)

SHOWN = {
    "persona": "persona prompt",
    "neutral_persona": "“You are a person.”",
    "add": "direction added",
    "ablate": "direction ablated",
    "shared_matched": "shared part added",
    "specific_matched": "specific part added",
    "random": "random directions",
    "shuffled": "shuffled labels",
    "other": "other roles' directions",
}


@dataclass(frozen=True)
class Config:
    """Settings of the benchmark transfer analysis."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    validation: str | None = None
    """Questions on which directions are chosen: builtin, mmlu, a file or folder; default: half of
    the questions, and directions are tested on the other half."""
    benchmarks: tuple[str, ...] = ()
    """More questions, files or folders; those that name no domain belong to that of their subject,
    and without a subject to one with the name of their file."""
    roles: tuple[str, ...] | None = None
    """Default: all whose domain has questions."""
    role_domains: dict[str, str] | None = None
    """Role and its domain, pair after pair; default: those of the paper."""
    max_kl: float | None = Selection.max_kl
    """Largest KL divergence on neutral prompts that a choice may have, in nats; None: no limit."""
    max_validation: int | None = None
    """Most questions of a domain on which directions are chosen, at least 20."""
    max_questions: int | None = None
    """Most test questions of a role's own domain, at least 20."""
    max_off_domain: int | None = 20
    """Most test questions of every other domain, at least 20; 0: none."""
    judge_all: bool = False
    """Judge a domain even if the unchanged model's answers carry no knowledge there."""
    n_random: int = 20
    """Random directions in the null band, at least 20."""
    n_shuffled: int = 5
    """Directions from shuffled labels; 0 goes without, and without the prompts of the vectors."""


def run(config: Config) -> Results:
    """Compare, and write tables."""
    setup = config.setup
    exam, plan = exam_of(config), plan_of(config)
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    if config.n_shuffled:
        vectors = setup.with_prompts(vectors)
    kept = setup.out / "comparison"
    table = compare(model, vectors, exam, kept, selection_of(config, vectors, exam), plan)
    results = Results.of(
        config,
        model,
        vectors,
        table=table,
        effects=pd.read_parquet(kept / "effects.parquet"),
        choices=pd.read_parquet(kept / "choices.parquet"),
        positive=pd.read_parquet(kept / "positive.parquet"),
    )
    results.write(setup.out)
    return results


# Preparation


def exam_of(config: Config) -> Exam:
    """The questions, of all benchmarks."""
    questions = config.asking.load()
    for source in config.benchmarks:
        questions += load_questions(source)
    validation = config.asking.load_validation(config.validation)
    return Exam(questions, validation, config.asking.asking, config.role_domains or {})


def selection_of(config: Config, vectors: RoleVectors, exam: Exam) -> Selection:
    """How directions are chosen: of one role for a quick version."""
    if not config.setup.quick:
        return Selection(Grid(config.roles, contrasts=None, screen=1), max_kl=config.max_kl)
    asked = (question.domain for question in exam.questions)
    first = tuple(homes_among(vectors, config.roles, exam.domains, asked))[:1]
    # The guard on neutral prompts takes a minute, for the random directions too.
    return Selection(Grid(first, contrasts=None, screen=1), max_kl=None)


def plan_of(config: Config) -> TestPlan:
    """How they are tested."""
    quick = config.setup.quick
    return TestPlan(
        n_random=config.n_random,
        n_shuffled=config.n_shuffled,
        judge_all=quick or config.judge_all,
        positive_controls=not quick,
        n_random_ablations=0 if quick else 20,
        max_validation=20 if quick else config.max_validation,
        max_questions=20 if quick else config.max_questions,
        max_off_domain=0 if quick else config.max_off_domain,
        seed=config.setup.seed,
    )


# Figures and report


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    table, effects = results.tables["table"], results.tables["effects"]
    plot_comparison(table, folder / "own_domain.png")
    if not len(effects):  # nowhere is there anything to judge
        write_report(results, folder)
        return
    plot_transfer(
        effects,
        folder / "transfer.png",
        kinds={kind: SHOWN[kind] for kind in ("add", "persona") if kind in table.columns},
        value="effect",
        label="effect on the margin",
        level=LEVEL,
    )
    draw_kinds(effects, folder / "kinds.png")
    write_report(results, folder)


def draw_kinds(effects: pd.DataFrame, path: Path) -> None:
    """Effects of all roles by kind of condition, on own and on other domains."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    for axis, in_domain in zip(axes, (True, False), strict=True):
        part = effects[effects["in_domain"] == in_domain]
        names = [kind for kind in SHOWN if (part["kind"] == kind).any()]
        effect_of = [part.loc[part["kind"] == kind, "effect"] for kind in names]
        axis.boxplot(
            effect_of,
            orientation="horizontal",
            whis=(0, 100),
            widths=0.6,
            medianprops={"color": "black"},
        )
        for place, values in enumerate(effect_of, start=1):
            axis.plot(values, [place] * len(values), "o", color="#1f3b73", markersize=3, alpha=0.3)
        axis.set_yticks(range(1, len(names) + 1), [SHOWN[kind] for kind in names], fontsize=8)
        axis.axvline(0, color="grey", linewidth=0.8)
        axis.set_xlabel("effect on the margin")
        axis.set_title("own domain" if in_domain else "other domains")
        axis.invert_yaxis()
    save_figure(figure, path)


def write_report(results: Results, folder: Path) -> None:
    """The page of figures and tables."""
    table, effects = results.tables["table"], results.tables["effects"]
    report = Report("Benchmark transfer", __doc__.split("\n")[0], results.record)
    report.figure(
        folder / "own_domain.png",
        "How much more the direction does than random ones that were chosen as it was, on held-out "
        "questions of the role's own domain.",
    )
    own = table[table["in_domain"]]
    columns = ["role", "domain", "n", "baseline_accuracy", "persona", "add", "low", "high"]
    columns += ["excess", "excess_low", "excess_high", "p_more", "p_question_more", "verdict"]
    report.table(own[[name for name in columns if name in own.columns]], "In words.")
    if not len(effects):
        report.write(folder / "report.html")
        return
    report.table(pooled(effects), "All roles together, against their random directions.")
    report.table(tally(effects), "How many roles do more than random, p adjusted for a line.")
    report.table(results.tables["positive"], "What must be found, if anything can be.")
    report.figure(
        folder / "transfer.png",
        "Effects of every role on every domain; boxed: its own; + and –: above and below the "
        "unchanged model, adjusted for all other domains or all own ones; hatched: not asked.",
    )
    report.figure(
        folder / "kinds.png",
        "Effects of all roles, beside the controls: a dot is one direction or prompt on one "
        "domain, of random, shuffled and others' directions each one.",
    )
    report.write(folder / "report.html")


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
