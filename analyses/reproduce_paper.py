"""Do the best directions of arXiv 2502.12055 still help on questions that didn't choose them?

    python analyses/reproduce_paper.py --out paper
    python analyses/reproduce_paper.py --out paper --questions mmlu --layer-step 3
    python analyses/reproduce_paper.py --out release --protocol release
    python analyses/reproduce_paper.py --out paper --redraw

This is the protocol of the paper, on any model, with what it leaves out beside it. Every role's
direction of every layer and position is added while the questions of its domain are answered, and
the one with the largest accuracy is reported, on those questions; it is ablated too, and taken to
the other domains. Beside that: what such a choice is worth on questions that didn't choose it, and
p adjusted for all candidates.

`--protocol release` does what the authors' published code does: layers from the middle on without
the last fifth, candidates below the unchanged model dropped, every candidate ablated too, persona
prompts in the same table, and mathematics answered in writing, with the answer in a box. It tests
what the abstract of the version of EMNLP 2025 claims.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from role_lens import (
    NEUTRAL_PERSONA,
    Asking,
    Compute,
    DirectionSpec,
    Generation,
    Grid,
    Question,
    RoleVectors,
    chat_text,
    evaluate,
    persona_prompts,
)
from role_lens.experiments import (
    TABLE,
    Condition,
    ConditionKind,
    DomainScores,
    baseline,
    best_first,
    folder_of,
    measure,
    open_conditions,
    open_store,
    open_sweep,
    persona_conditions,
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
from role_lens.statistics import best_of_many, bootstrap_interval, mcnemar, sign_flip_test

BOXED = "math"
"""The domain whose questions the release has answered in writing."""
CLAIMS = (
    "What the abstract claims (Findings of EMNLP 2025): role vectors influence the model, "
    "“improving in-domain task performance while also yielding unexpected cross-domain gains”, and "
    "so have “a greater impact on outcomes than persona-based prompting”. And what is measured, as "
    "means over roles: on other domains, whose questions didn't choose the directions, with 95 % "
    "intervals over questions."
)


@dataclass(frozen=True)
class Config:
    """Settings of the reproduction of the paper."""

    setup: Setup
    protocol: Literal["paper", "release"] = "paper"
    """That of the paper, or that of the code which its authors released."""
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
    max_new_tokens: int = 512
    """Longest written answer to a question of mathematics in the protocol of the release, which
    itself allows 16,384 tokens."""

    def layers(self, vectors: RoleVectors) -> tuple[int, ...]:
        """Layers whose directions are tried."""
        step = 8 if self.setup.quick else self.layer_step
        if self.protocol == "paper":
            return tuple(every_layer(vectors, step))
        # The release computes the last fifth too, and then leaves it out of the choice.
        end = int(0.8 * vectors.n_layers)
        first = vectors.n_layers // 2
        return tuple(layer for layer in every_layer(vectors, step, first=first) if layer < end)


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

    def roles_of(self, domain: str) -> list[str]:
        """Roles whose own domain it is."""
        return [role for role, home in self.homes.items() if home == domain]

    def sweep_folder(self, domain: str) -> Path:
        """Where a domain is swept."""
        return folder_of(self.config.setup.out / "sweeps", domain)


def run(config: Config) -> Results:
    """Sweep, take the best, and write tables."""
    prepared = prepare(config)
    best = best_table(prepared)
    scores = scores_of_best(prepared, best)
    tables = {"best": best, "effects": measure(scores)}
    if config.protocol == "release":
        tables |= {
            "candidates": candidate_table(prepared),
            "boxed": boxed_table(prepared, best),
            "claims": claim_table(best, scores, config.setup.seed),
        }
    results = Results.of(config, prepared.model, prepared.vectors, **tables)
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
        layers=config.layers(vectors),
        positions=(-1,) if quick else None,
        coefficients=config.coefficients,
        kinds=("add",) if config.protocol == "paper" else ("add", "ablate"),
    )
    asker = Asker(model, config.asking.asking)
    tests = [
        Test(domain, in_domain, asker.ask(some), folder_of(setup.out / name, domain))
        for name, in_domain, by_domain in samples(config, questions, homes)
        for domain, some in by_domain.items()
        if any((home == domain) == in_domain for home in homes.values())
    ]
    prepared = Prepared(config, model, vectors, homes, grid, tests)
    if config.protocol == "release":
        chat_text(model, "Hello?", NEUTRAL_PERSONA)  # some templates take no system message
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
    config, rows = prepared.config, []
    for test in prepared.tests:
        if not test.in_domain:
            continue
        folder = prepared.sweep_folder(test.domain)
        effects = swept(prepared, test)
        unchanged = float(effects["accuracy"].iloc[0])
        # Ties are broken by the margin; the release takes the first position and layer.
        ranked = best_first(effects[effects["kind"] == "add"], "accuracy").reset_index(drop=True)
        _, correct = read_changes(folder, "correct", candidates=ranked)
        _, margin = read_changes(folder, "margin", candidates=ranked)
        for role in prepared.roles_of(test.domain):
            mine = ranked["role"] == role
            best = ranked[mine].iloc[0]
            row = {
                "role": role,
                "domain": test.domain,
                "n": len(test.asked),
                "baseline": unchanged,
                "layer": int(best["layer"]),
                "position": int(best["position"]),
                "coefficient": best["coefficient"],
                **worth(unchanged, correct[mine], margin[mine], config.setup.seed),
            }
            if config.protocol == "release":
                row["dropped"] = int((ranked[mine]["accuracy_change"] < 0).sum())
            rows.append(row)
    return pd.DataFrame(rows)


def swept(prepared: Prepared, test: Test) -> pd.DataFrame:
    """Effects of all candidates of a domain's own roles on its questions."""
    grid = replace(prepared.grid, roles=tuple(prepared.roles_of(test.domain)))
    return sweep_asked(test.asked, prepared.vectors, prepared.sweep_folder(test.domain), grid)


def worth(unchanged: float, correct: np.ndarray, margin: np.ndarray, seed: int) -> dict[str, float]:
    """What a role's best candidate does on the questions that chose it, and on others.

    Args:
        unchanged: accuracy of the unchanged model.
        correct, margin: changes by each candidate on each question, the best candidate's first.
    """
    halves = best_of_many(correct, margin, seed=seed)
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


def scores_of_best(prepared: Prepared, best: pd.DataFrame) -> list[DomainScores]:
    """The best directions, added and ablated, on all domains. On its own domain a direction can't
    be tested, since the questions there chose it."""
    conditions = {
        row.role: conditions_of(prepared.config.protocol, prepared.vectors, row)
        for row in best.itertuples()
    }
    scores = []
    for test in prepared.tests:
        asked_of = [
            role for role in conditions if (prepared.homes[role] == test.domain) == test.in_domain
        ]
        some = [baseline(), *(one for role in asked_of for one in conditions[role])]
        about = {"domain": test.domain, "in_domain": test.in_domain}
        scores.append(score_conditions(test.asked, some, test.folder, **about))
    return scores


def conditions_of(protocol: str, vectors: RoleVectors, best: Any) -> list[Condition]:
    """A row of the best directions, added and ablated; for the release, the persona prompt too."""
    spec = DirectionSpec(best.role, best.layer, best.position, coefficient=best.coefficient)
    directions = [
        Condition(kind, best.role, patches=(vectors.patch(kind.value, spec),))
        for kind in (ConditionKind.ADD, ConditionKind.ABLATE)
    ]
    if protocol == "paper":
        return directions
    return [*directions, *persona_conditions(best.role, None)]


# Tables of the release


def candidate_table(prepared: Prepared) -> pd.DataFrame:
    """Accuracy with each candidate added and ablated, and whether it is above the unchanged
    model's, below which the release drops it."""
    where = ["role", "position", "layer"]
    tables = []
    for test in (test for test in prepared.tests if test.in_domain):
        effects = swept(prepared, test)
        added, ablated = (effects[effects["kind"] == kind] for kind in ("add", "ablate"))
        ablated = ablated.rename(columns={"accuracy": "ablated"})[[*where, "ablated"]]
        table = added[[*where, "coefficient", "accuracy", "accuracy_change"]].merge(
            ablated, on=where
        )
        tables.append(table.assign(domain=test.domain, dropped=table["accuracy_change"] < 0))
    return pd.concat(tables, ignore_index=True)


def boxed_table(prepared: Prepared, best: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of written answers to mathematics: unchanged, with the persona prompt, and with the
    direction that did best; and how many answers were cut off. Empty without such a domain.

    The release writes answers under every candidate; here only under the best.
    """
    config = prepared.config
    length = 16 if config.setup.quick else config.max_new_tokens
    rows = []
    for test in prepared.tests:
        if not (test.in_domain and test.domain == BOXED):
            continue
        identity = {**test.asked.identity, "run": "boxed", "max_new_tokens": length}
        store = open_store(config.setup.out / "boxed", identity)
        asked = [(None, "none", None, None)]
        for row in best[best["domain"] == test.domain].itertuples():
            added = conditions_of("paper", prepared.vectors, row)[0].patches[0]
            asked.append((row.role, "add", added, None))
            asked.append((row.role, "persona", None, persona_prompts(row.role)[0]))
        for role, kind, patch, system in asked:
            write = partial(written, prepared.model, test, length, patch, system)
            found = store.keep(f"{kind}-{role}.parquet", write, TABLE)
            rows.append(row_of(found, role, kind))
    columns = ["role", "kind", "n", "accuracy", "readable", "cut_off"]
    return pd.DataFrame(rows, columns=columns)


def written(model: Any, test: Test, length: int, patch: Any, system: str | None) -> pd.DataFrame:
    """Written answers to the questions of a domain."""
    return evaluate(
        model,
        test.asked.questions,
        {"written": patch},
        Asking("generate", system=system),
        generation=Generation("boxed", max_new_tokens=length),
        compute=Compute(progress=False),
    )


def row_of(found: pd.DataFrame, role: str | None, kind: str) -> dict[str, Any]:
    """A row of the table of written answers."""
    return {
        "role": role,
        "kind": kind,
        "n": len(found),
        "accuracy": found["correct"].mean(),
        "readable": found["readable"].mean(),
        "cut_off": found["truncated"].mean(),
    }


def claim_table(best: pd.DataFrame, scores: Sequence[DomainScores], seed: int) -> pd.DataFrame:
    """What the abstract of EMNLP 2025 claims, and what is measured: means over roles.

    Where the questions chose the directions there is no interval, since there is no test.
    """
    rows = [
        {"claim": "in-domain gain", "measured": "on the questions that chose", "unit": "accuracy"}
        | {"value": best["apparent"].mean()},
        {"claim": "in-domain gain", "measured": "on questions that didn't", "unit": "accuracy"}
        | {"value": best["held_out"].mean()},
    ]
    others = [one for one in scores if not one.in_domain]
    if others:
        added = changes(others, ConditionKind.ADD)
        more = added - changes(others, ConditionKind.PERSONA)
        claims = (("cross-domain gain", added), ("more than persona prompts", more))
        for claim, change in claims:
            low, high = bootstrap_interval(change, level=0.95, seed=seed)
            rows.append(
                {"claim": claim, "measured": "on other domains' questions", "unit": "margin"}
                | {"value": change.mean(), "low": low, "high": high}
            )
    columns = ["claim", "measured", "unit", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def changes(scores: Sequence[DomainScores], kind: ConditionKind) -> np.ndarray:
    """Change of the margin of each question under a kind of condition, mean over roles."""
    found = []
    for one in scores:
        kinds = one.conditions["kind"]
        plain = one.margin[(kinds == ConditionKind.BASELINE.value).to_numpy()]
        found.append((one.margin[(kinds == kind.value).to_numpy()] - plain).mean(axis=0))
    return np.concatenate(found)


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
    write_report(best, effects, results, folder)


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


def write_report(best: pd.DataFrame, effects: pd.DataFrame, results: Results, folder: Path) -> None:
    """The page of figures and tables."""
    report = Report("The paper, and beside it", __doc__.split("\n")[0], results.record)
    if "claims" in results.tables:
        report.table(results.tables["claims"], CLAIMS)
    report.figure(
        folder / "best.png",
        "The best of all directions of each role: on the questions that chose it, and on others "
        "(random halves choose, the other halves test; mean of 1,000).",
    )
    own = effects[effects["in_domain"]]
    also = {"ablate": "ablated", "persona": "persona", "neutral_persona": "a_person"}
    for kind, name in also.items():
        if kind in set(own["kind"]):
            change = own[own["kind"] == kind].set_index("role")["accuracy_change"]
            best = best.assign(**{name: best["baseline"] + best["role"].map(change)})
    columns = ["role", "domain", "n", "baseline", "layer", "position", "best", *also.values()]
    report.table(
        best[[name for name in columns if name in best]],
        "As in the paper: accuracies on the questions that chose.",
    )
    columns = ["role", "tried", "apparent", "held_out", "held_out_low", "held_out_high"]
    report.table(
        best[[*columns, "p_alone", "p_adjusted"]],
        "Beside it: the change of accuracy on questions that didn't choose, with the 5th and 95th "
        "percentile over halves; two-sided p of the best candidate alone, and adjusted for all "
        "tried.",
    )
    if "boxed" in results.tables and len(results.tables["boxed"]):
        report.table(
            results.tables["boxed"],
            "Mathematics answered in writing, with the answer in a box: accuracy, and the shares "
            "of answers that could be read and that were cut off at the limit of tokens. An answer "
            "that can't be read is not correct.",
        )
    if "candidates" in results.tables:
        table = results.tables["candidates"]
        report.table(
            table.groupby(["domain", "role"], as_index=False).agg(
                tried=("dropped", "size"),
                dropped=("dropped", "sum"),
                best=("accuracy", "max"),
                mean=("accuracy", "mean"),
                mean_ablated=("ablated", "mean"),
            ),
            "All candidates: how many were tried, how many lie below the unchanged model and were "
            "dropped, and accuracies. Where all were dropped, the release stops.",
        )
    report.figure(
        folder / "transfer.png",
        "The same direction on all domains; boxed: the role's own, whose questions chose it.",
    )
    report.write(folder / "report.html")


if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
