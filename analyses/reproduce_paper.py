"""Do the best directions of arXiv 2502.12055 still help on questions that didn't choose them?

    python analyses/reproduce_paper.py --out paper
    python analyses/reproduce_paper.py --out paper --questions mmlu --layer-step 3
    python analyses/reproduce_paper.py --out paper --redraw

This is the protocol of the paper, on any model, with what it leaves out beside it. Every role's
direction of every layer and position is added while the questions of its domain are answered, and
the one with the largest accuracy is reported, on those questions; it is ablated too, and taken to
the other domains. Beside that: what such a choice is worth on questions that didn't choose it, and
p adjusted for all candidates.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from role_lens import DirectionSpec, Grid, Question, RoleVectors
from role_lens.experiments import (
    Condition,
    ConditionKind,
    baseline,
    best_first,
    folder_of,
    measure,
    open_conditions,
    open_sweep,
    read_changes,
    score_conditions,
    sweep_asked,
)
from role_lens.questions import homes_among, sample_by_domain
from role_lens.reporting import (
    QuestionOptions,
    Report,
    Results,
    Setup,
    every_layer,
    main,
    plot_transfer,
    save_figure,
)
from role_lens.scoring import AskedQuestions, Asker
from role_lens.statistics import best_of_many, mcnemar, sign_flip_test


@dataclass(frozen=True)
class Config:
    """Settings of the reproduction of the paper."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    roles: tuple[str, ...] | None = None
    """Default: all whose domain has questions."""
    role_domains: dict[str, str] | None = None
    """Role and its domain, pair after pair; default: those of the paper."""
    coefficients: tuple[float, ...] = (1.0,)
    """How many times the raw direction is added."""
    layer_step: int = 1
    """Every how many layers directions are tried; default: all, as in the paper. To screen them by
    their estimates would let the questions that test have a part in the choice."""
    max_questions: int | None = None
    """Most questions of a role's own domain."""
    max_off_domain: int | None = None
    """Most questions of every other domain; 0: none."""


@dataclass(frozen=True, eq=False)
class Test:
    """Questions of one domain, for its own roles or for all others."""

    domain: str
    in_domain: bool
    asked: AskedQuestions
    folder: Path


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is to be done, once all that may be refused has been checked."""

    config: Config
    model: Any
    vectors: RoleVectors
    homes: Mapping[str, str]
    """Role -> its domain."""
    grid: Grid
    """Of the sweeps, of all roles."""
    tests: Sequence[Test]
    """The own domains' questions choose too."""

    def sweep_folder(self, domain: str) -> Path:
        """Where a domain is swept."""
        return folder_of(self.config.setup.out / "sweeps", domain)


def run(config: Config) -> Results:
    """Sweep, take the best, and write tables."""
    prepared = prepare(config)
    best = best_table(prepared)
    effects = effect_table(prepared, best)
    results = Results.of(config, prepared.model, prepared.vectors, best=best, effects=effects)
    results.write(config.setup.out)
    return results


# Preparation


def prepare(config: Config) -> Prepared:
    """Load, divide the questions, and open the folders, which may refuse."""
    setup, quick = config.setup, config.setup.quick
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    questions = config.asking.load()
    asked = (question.domain for question in questions)
    homes = homes_among(vectors, config.roles, config.role_domains, asked)
    if quick:
        homes = dict(list(homes.items())[:1])
    grid = Grid(
        layers=tuple(every_layer(vectors, 8 if quick else config.layer_step)),
        positions=(-1,) if quick else None,
        coefficients=config.coefficients,
    )
    asker = Asker(model, config.asking.asking)
    tests = [
        Test(domain, in_domain, asker.ask(some), folder_of(setup.out / name, domain))
        for name, in_domain, by_domain in samples(config, questions, homes)
        for domain, some in by_domain.items()
        if any((home == domain) == in_domain for home in homes.values())
    ]
    prepared = Prepared(config, model, vectors, homes, grid, tests)
    for test in tests:
        open_conditions(test.asked, test.folder)
        if test.in_domain:
            open_sweep(test.asked, vectors, prepared.sweep_folder(test.domain))
    return prepared


def samples(
    config: Config, questions: Sequence[Question], homes: Mapping[str, str]
) -> list[tuple[str, bool, dict[str, list[Question]]]]:
    """By domain: the questions for its own roles, and those for all others; each with the name of
    their folder."""
    quick, seed = config.setup.quick, config.setup.seed
    most = 20 if quick else config.max_questions
    own = sample_by_domain(questions, homes.values(), most, seed=seed)
    found = [("own", True, own)]
    if not quick and config.max_off_domain != 0:
        every = sorted({question.domain for question in questions})
        others = sample_by_domain(questions, every, config.max_off_domain, seed=seed)
        found.append(("others", False, others))
    return found


# Tables


def best_table(prepared: Prepared) -> pd.DataFrame:
    """The direction of each role with the largest accuracy, and what such a choice is worth."""
    seed, rows = prepared.config.setup.seed, []
    for test in (test for test in prepared.tests if test.in_domain):
        own = tuple(role for role, home in prepared.homes.items() if home == test.domain)
        folder, grid = prepared.sweep_folder(test.domain), replace(prepared.grid, roles=own)
        effects = sweep_asked(test.asked, prepared.vectors, folder, grid)
        unchanged = float(effects["accuracy"].iloc[0])
        ranked = best_first(effects.iloc[1:], "accuracy").reset_index(drop=True)
        _, correct = read_changes(folder, "correct", candidates=ranked)
        _, logprob = read_changes(folder, "logprob_correct", candidates=ranked)
        for role in own:
            mine = ranked["role"] == role
            best = ranked[mine].iloc[0]
            rows.append(
                {
                    "role": role,
                    "domain": test.domain,
                    "n": len(test.asked),
                    "baseline": unchanged,
                    "layer": int(best["layer"]),
                    "position": int(best["position"]),
                    "coefficient": best["coefficient"],
                    **worth(unchanged, correct[mine], logprob[mine], seed),
                }
            )
    return pd.DataFrame(rows)


def worth(
    unchanged: float, correct: np.ndarray, logprob: np.ndarray, seed: int
) -> dict[str, float]:
    """What a role's best candidate does on the questions that chose it, and on others.

    Args:
        unchanged: accuracy of the unchanged model.
        correct, logprob: changes by each candidate on each question, the best candidate's first.
    """
    halves = best_of_many(correct, logprob, seed=seed)
    test = sign_flip_test(correct, seed=seed)
    return {
        "best": unchanged + halves.apparent,
        "tried": len(correct),
        "apparent": halves.apparent,
        "held_out": halves.held_out,
        "held_out_low": halves.low,
        "held_out_high": halves.high,
        # Of this candidate alone: what a paper would report.
        "p_alone": mcnemar(correct[0] < 0, correct[0] > 0),
        "p_adjusted": float(test.p_adjusted[0]),
    }


def effect_table(prepared: Prepared, best: pd.DataFrame) -> pd.DataFrame:
    """The best directions, added and ablated, on all domains; untested, since a direction can't be
    tested on the questions that chose it."""
    conditions = {row.role: both_ways(prepared.vectors, row) for row in best.itertuples()}
    scores = []
    for test in prepared.tests:
        asked_of = [
            role for role in conditions if (prepared.homes[role] == test.domain) == test.in_domain
        ]
        some = [baseline(), *(one for role in asked_of for one in conditions[role])]
        about = {"domain": test.domain, "in_domain": test.in_domain}
        scores.append(score_conditions(test.asked, some, test.folder, **about))
    return measure(scores)


def both_ways(vectors: RoleVectors, best: Any) -> list[Condition]:
    """A row of the best directions, added and ablated."""
    spec = DirectionSpec(best.role, best.layer, best.position, coefficient=best.coefficient)
    return [
        Condition(kind, best.role, patches=(vectors.patch(kind.value, spec),))
        for kind in (ConditionKind.ADD, ConditionKind.ABLATE)
    ]


# Figures and report


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    best, effects = results.tables["best"], results.tables["effects"]
    best = best.sort_values(["domain", "role"]).reset_index(drop=True)
    draw_best(best, folder / "best.png")
    plot_transfer(
        effects.assign(accuracy_change=100 * effects["accuracy_change"]),
        folder / "transfer.png",
        kinds={"add": "direction added", "ablate": "direction ablated"},
        value="accuracy_change",
        label="change of accuracy, percentage points",
    )
    write_report(best, effects, results.record, folder)


def draw_best(best: pd.DataFrame, path: Path) -> None:
    """The best direction of each role, on the questions that chose it and on others."""
    figure = Figure(figsize=(8, 1.5 + 0.27 * len(best)), layout="constrained")
    axis = figure.subplots()
    rows = np.arange(len(best))
    axis.plot(
        100 * best["apparent"],
        rows,
        "D",
        markerfacecolor="white",
        markeredgecolor="#d9822b",
        label="on the questions that chose it, as the paper does",
    )
    axis.plot(
        100 * best["held_out"],
        rows,
        "o",
        color="#1f3b73",
        label="halves choose, the other halves test (mean)",
    )
    low, high = 100 * best["held_out_low"], 100 * best["held_out_high"]
    axis.hlines(
        rows, low, high, color="#1f3b73", linewidth=0.8, label="their 5th to 95th percentile"
    )
    axis.axvline(0, color="black", linewidth=0.8)
    names = [f"{one.role} ({one.domain})" for one in best.itertuples()]
    axis.set_yticks(rows, names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("change of accuracy by the best direction of each role, percentage points")
    figure.legend(frameon=False, fontsize=8, loc="outside upper center")
    save_figure(figure, path)


def write_report(
    best: pd.DataFrame, effects: pd.DataFrame, record: Mapping[str, Any], folder: Path
) -> None:
    """The page of figures and tables."""
    report = Report("The paper, and beside it", __doc__.split("\n")[0], record)
    report.figure(
        folder / "best.png",
        "The best of all directions of each role: on the questions that chose it, and on others "
        "(random halves choose, the other halves test; mean of 1,000).",
    )
    ablated = effects[(effects["kind"] == "ablate") & effects["in_domain"]].set_index("role")
    paper = best.assign(ablated=best["baseline"] + best["role"].map(ablated["accuracy_change"]))
    columns = ["role", "domain", "n", "baseline", "layer", "position", "best", "ablated"]
    report.table(paper[columns], "As in the paper: accuracies on the questions that chose.")
    columns = ["role", "tried", "apparent", "held_out", "held_out_low", "held_out_high"]
    report.table(
        best[[*columns, "p_alone", "p_adjusted"]],
        "Beside it: the change of accuracy on questions that didn't choose, with the 5th and 95th "
        "percentile over halves; two-sided p of the best candidate alone, and adjusted for all "
        "tried.",
    )
    report.figure(
        folder / "transfer.png",
        "The same direction on all domains; boxed: the role's own, whose questions chose it.",
    )
    report.write(folder / "report.html")


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
