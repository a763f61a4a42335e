"""The protocol and tables of arXiv 2502.12055 on any model, with what they leave out beside them.

    python analyses/reproduce_paper.py --out paper
    python analyses/reproduce_paper.py --out paper --questions mmlu --layer-step 3
    python analyses/reproduce_paper.py --out paper --redraw

Every role's direction of every layer and position is added while the questions of its domain are
answered, and the one with the largest accuracy is reported, on those questions; it is ablated too,
and taken to the other domains. Beside that: what such a choice is worth on questions that didn't
choose it, and p adjusted for all candidates.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from role_lens.experiments.candidates import Grid
from role_lens.experiments.condition_scores import score_conditions
from role_lens.experiments.conditions import Condition, baseline
from role_lens.experiments.judgement import measure
from role_lens.experiments.selection import best_first, folder_of
from role_lens.experiments.sweeps import read_changes, sweep
from role_lens.questions.domains import homes_among
from role_lens.questions.splits import sample_by_domain
from role_lens.reporting.analysis import Results, Setup, every_layer, main
from role_lens.reporting.figures import plot_transfer, save_figure
from role_lens.reporting.options import QuestionOptions
from role_lens.reporting.report import Report
from role_lens.statistics.selection_bias import best_of_many
from role_lens.statistics.paired import mcnemar, sign_flip_test


@dataclass(frozen=True)
class Config:
    """What is reproduced."""

    setup: Setup
    asking: QuestionOptions = field(default_factory=QuestionOptions)
    roles: tuple[str, ...] | None = None
    """Default: all whose domain has questions."""
    domains: dict[str, str] | None = None
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


def run(config: Config) -> Results:
    """Sweep, take the best, and write tables."""
    setup, quick, asking = config.setup, config.setup.quick, config.asking.asking()
    model = setup.options.load()
    vectors = setup.load_vectors(model)
    questions = config.asking.load()
    homes = homes_among(vectors, config.roles, config.domains, (one.domain for one in questions))
    if quick:
        homes = dict(list(homes.items())[:1])
    layers = tuple(every_layer(vectors, 8 if quick else config.layer_step))
    positions = (-1,) if quick else None
    rows, patches = [], {}
    most = 20 if quick else config.max_questions
    own_questions = sample_by_domain(questions, homes.values(), most, seed=setup.seed)
    for domain, asked in own_questions.items():
        own = tuple(role for role in homes if homes[role] == domain)
        grid = Grid(own, layers, positions, ("base",), ("add",), config.coefficients)
        kept = folder_of(setup.out / "sweeps", domain)
        effects = sweep(model, vectors, asked, kept, grid, **asking)
        accuracy = float(effects["accuracy"].iloc[0])
        ranked = best_first(effects.iloc[1:], "accuracy").reset_index(drop=True)
        _, correct = read_changes(kept, "correct", candidates=ranked)
        _, logprob = read_changes(kept, "logprob_correct", candidates=ranked)
        for role in own:
            mine = ranked["role"] == role
            best = ranked[mine].iloc[0]
            tried = correct[mine]
            left = best_of_many(tried, logprob[mine], seed=setup.seed)
            test = sign_flip_test(tried, seed=setup.seed)
            where = {"layer": int(best["layer"]), "position": int(best["position"])}
            patches[role] = {
                "add": vectors.add(role, coefficient=best["coefficient"], **where),
                "ablate": vectors.ablate(role, **where),
            }
            rows.append(
                {
                    "role": role,
                    "domain": domain,
                    "n": len(asked),
                    "baseline": accuracy,
                    **where,
                    "coefficient": best["coefficient"],
                    "best": accuracy + left.apparent,
                    "tried": len(tried),
                    "apparent": left.apparent,
                    "held_out": left.held_out,
                    "held_out_low": left.low,
                    "held_out_high": left.high,
                    # Of this candidate alone: what a paper would report.
                    "p_alone": mcnemar(tried[0] < 0, tried[0] > 0),
                    "p_adjusted": float(test.p_adjusted[0]),
                }
            )
    scores = []
    tests = [(True, own_questions)]
    if not quick and config.max_off_domain != 0:
        every = sorted({question.domain for question in questions})
        others = sample_by_domain(questions, every, config.max_off_domain, seed=setup.seed)
        tests.append((False, others))
    for in_domain, by_domain in tests:
        for domain, asked in by_domain.items():
            conditions = [baseline()] + [
                Condition(kind, role, patches=(patch,))
                for role, both in patches.items()
                if (homes[role] == domain) == in_domain
                for kind, patch in both.items()
            ]
            if len(conditions) == 1:
                continue
            kept = folder_of(setup.out / ("own" if in_domain else "others"), domain)
            scores.append(
                score_conditions(
                    model, asked, conditions, kept, domain=domain, in_domain=in_domain, **asking
                )
            )
    # A direction can't be tested on the questions that chose it.
    effects = measure(scores)
    results = Results.of(config, model, vectors, best=pd.DataFrame(rows), effects=effects)
    results.write(setup.out)
    return results


def draw(results: Results, folder: Path) -> None:
    """Figures and report, from the tables alone."""
    best, effects = results.tables["best"], results.tables["effects"]
    best = best.sort_values(["domain", "role"]).reset_index(drop=True)
    roles, homes = best["role"].tolist(), best.set_index("role")["domain"]

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
    axis.set_yticks(rows, [f"{role} ({homes[role]})" for role in roles], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("change of accuracy by the best direction of each role, percentage points")
    figure.legend(frameon=False, fontsize=8, loc="outside upper center")
    save_figure(figure, folder / "best.png")

    plot_transfer(
        effects.assign(accuracy_change=100 * effects["accuracy_change"]),
        folder / "transfer.png",
        kinds={"add": "direction added", "ablate": "direction ablated"},
        value="accuracy_change",
        label="change of accuracy, percentage points",
    )

    report = Report("The paper, and beside it", __doc__.split("\n")[0], results.record)
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
