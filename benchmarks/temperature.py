"""Does a change of temperature, which changes no answer, look like help?

    python benchmarks/temperature.py --questions mmlu_domains --out temperature

The unchanged model's option scores are divided by a temperature, and both scores are tested as if a
role vector had done it: log p(correct) and the margin.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.special
import tyro
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from role_lens import Asking, Question, load_model, load_questions
from role_lens.models import PACKAGED_MODEL
from role_lens.questions import sample_questions
from role_lens.reporting import save_figure
from role_lens.scoring import AskedQuestions, Asker
from role_lens.statistics import sign_flip_test

TEMPERATURES = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)


@dataclass(frozen=True)
class Config:
    """Settings of the experiment."""

    questions: str = "builtin"
    """builtin, mmlu, or a JSONL file or folder."""
    n_questions: int = 60
    """Most questions of each domain, a random sample."""
    model: str = PACKAGED_MODEL
    """The packaged model, a Hugging Face id, or a local folder."""
    scoring: str = "letter"
    """By letter or by the text of the choice."""
    dtype: str = "float32"
    """Of the weights."""
    out: Path = Path("role-lens-temperature")
    """Folder for the table and the figure."""


def main(config: Config) -> None:
    """Score the unchanged model once, change its temperature, test, write and draw."""
    model = load_model(config.model, dtype=config.dtype)
    by_domain: dict[str, list[Question]] = {}
    for one in load_questions(config.questions):
        by_domain.setdefault(one.domain, []).append(one)
    asker = Asker(model, Asking(config.scoring))
    tables = []
    for domain, pool in sorted(by_domain.items()):
        asked = asker.ask(sample_questions(pool, config.n_questions, seed=0))
        (summed,) = asked.scorer().logprobs([()])
        tables.append(changes(asked, asked.option_scores(summed)).assign(domain=domain))
    table = tested(pd.concat(tables, ignore_index=True))
    config.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(config.out / "temperature.csv", index=False)
    draw(table, config.out / "temperature.png")
    print(table[table["temperature"] == 1.2].round(4).to_string(index=False))
    helps = table[table["p"] <= 0.05].groupby(["score", "temperature"]).size()
    print(json.dumps({f"{score} at {t}": int(n) for (score, t), n in helps.items()}, indent=1))


def changes(asked: AskedQuestions, scores: Float[ndarray, "question option"]) -> pd.DataFrame:
    """Each question's change of both scores, at each temperature."""
    answers = [one.answer for one in asked.questions]

    def logprob(of: Float[ndarray, "question option"]) -> Float[ndarray, " question"]:
        known = np.where(np.isnan(of), -np.inf, of)
        return scipy.special.log_softmax(known, axis=1)[np.arange(len(of)), answers]

    kinds = {"log p(correct)": logprob, "margin": asked.margin_design.margins}
    rows = [
        {"score": name, "temperature": temperature, "change": score(scores / temperature) - base}
        for name, score in kinds.items()
        for base in (score(scores),)
        for temperature in TEMPERATURES
    ]
    return pd.DataFrame(rows)


def tested(table: pd.DataFrame) -> pd.DataFrame:
    """Mean changes with p values of "helps", adjusted for the domains."""
    table = table.assign(
        effect=[change.mean() for change in table["change"]],
        largest=[np.abs(change).max() for change in table["change"]],
        p=1.0,
    )
    for (_, temperature), part in table.groupby(["score", "temperature"]):
        # A margin moves by rounding alone, which no test is needed for.
        if temperature != 1 and part["largest"].max() > 1e-9:
            sizes = [len(change) for change in part["change"]]
            matrix = np.full((len(part), sum(sizes)), np.nan)
            for row, (end, change) in enumerate(zip(np.cumsum(sizes), part["change"], strict=True)):
                matrix[row, end - len(change) : end] = change
            test = sign_flip_test(matrix, alternative="greater")
            table.loc[part.index, "p"] = test.p_adjusted
    return table.drop(columns="change")


def draw(table: pd.DataFrame, path: Path) -> None:
    """Both scores' changes by temperature, a line for each domain; dots are declared "helps"."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes: list[Axes] = list(figure.subplots(1, 2, sharex=True))
    for axis, (score, part) in zip(axes, table.groupby("score"), strict=True):
        for domain, line in part.groupby("domain"):
            axis.plot(line["temperature"], line["effect"], linewidth=1.2, label=domain)
            helped = line[line["p"] <= 0.05]
            axis.scatter(helped["temperature"], helped["effect"], s=18, color="black", zorder=3)
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set(xscale="log", xlabel="temperature", title=score)
        axis.set_xticks(TEMPERATURES, [f"{t:g}" for t in TEMPERATURES], fontsize=7)
        axis.minorticks_off()
    axes[0].set_ylabel("mean change, nats")
    axes[1].set(ylabel="mean change, margins", ylim=axes[0].get_ylim())
    axes[1].legend(frameon=False, fontsize=7, ncols=2)
    save_figure(figure, path)


if __name__ == "__main__":
    main(tyro.cli(Config))
