"""How well does attribution order the candidates? Against exact additions of a random sample.

    python benchmarks/screening.py --vectors roles.safetensors --questions my.jsonl

Takes long, and goes on where it was stopped.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from role_lens import Asking, Patch, RoleVectors, attribute, load_model, load_questions
from role_lens.models import PACKAGED_MODEL
from role_lens.patches.patch import first_layer, form
from role_lens.scoring import Asker
from role_lens.scoring.engine import in_chunks

NAMES = ["contrast", "role", "position", "layer"]


@dataclass(frozen=True)
class Config:
    """Settings of the screening benchmark."""

    vectors: Path
    """A file written by `role-lens fit`."""
    model: str = PACKAGED_MODEL
    """The packaged model, a Hugging Face id, or a local folder."""
    questions: str = "builtin"
    """builtin, mmlu, or a JSONL file or folder."""
    n_questions: int = 200
    """A random sample of the questions."""
    n_candidates: int = 320
    """A random sample of both contrasts' directions, the same number of each."""
    scoring: str = "letter"
    """By letter or by the text of the choice."""
    seed: int = 0
    """Of both samples."""
    out: Path = Path("role-lens-screening")
    """Folder for the tables."""


def main(config: Config) -> None:
    """Estimate all, compute the sample, compare."""
    claim(config)
    rng = np.random.default_rng(config.seed)
    model, vectors = load_model(config.model), RoleVectors.load(config.vectors)
    pool = load_questions(config.questions)
    questions = [pool[i] for i in rng.permutation(len(pool))[: config.n_questions]]
    file = config.out / "attribution.parquet"
    if file.exists():
        estimates = pd.read_parquet(file)
    else:
        estimates = attribute(model, vectors, questions, Asking(config.scoring))
        estimates.to_parquet(file)
    possible = estimates[estimates["effect"] != 0]
    sample = possible.groupby("contrast").sample(config.n_candidates // 2, random_state=config.seed)
    asked = Asker(model, Asking(config.scoring)).ask(questions)
    scorer = asked.scorer()

    def candidate(row: pd.Series) -> tuple[Patch, ...]:
        where = {name: row[name] for name in ("position", "layer", "contrast")}
        return (vectors.add(row["role"], **where),)

    def scores(candidates: list[tuple[Patch, ...]]) -> list[float]:
        return [asked.score_columns(s)["margin"].mean() for s in scorer.logprobs(candidates)]

    done = config.out / "exact.csv"
    if not done.exists():
        pd.DataFrame(columns=["index", "exact"]).to_csv(done, index=False)
    known = pd.read_csv(done).set_index("index")["exact"]
    rest = sample.drop(index=known.index, errors="ignore")
    baseline = scores([()])[0]
    candidates = [candidate(row) for _, row in rest.iterrows()]
    forms = [(first_layer(c), form(c)) for c in candidates]
    for count, chunk in enumerate(in_chunks(scorer, forms)):
        effects = [score - baseline for score in scores([candidates[i] for i in chunk])]
        part = pd.DataFrame({"index": rest.index[chunk], "exact": effects})
        part.to_csv(done, mode="a", header=False, index=False)
        if count % 20 == 0:
            print(f"{count} parts of {len(rest)} candidates", flush=True)
    known = pd.read_csv(done).set_index("index")["exact"]
    table = sample.assign(exact=known.reindex(sample.index))
    table.to_csv(config.out / "screening.csv", index=False)
    report(table)


def claim(config: Config) -> None:
    """Make the folder, or make sure that it is one of the same run."""
    config.out.mkdir(parents=True, exist_ok=True)
    file = config.out / "config.json"
    settings = json.dumps({key: str(value) for key, value in asdict(config).items()}, indent=1)
    if file.exists() and file.read_text() != settings:
        sys.exit(f"{config.out} holds another run, see {file}: choose another folder")
    file.write_text(settings)


def report(table: pd.DataFrame) -> None:
    """Rank correlations, over all and by layer."""

    def spearman(part: pd.DataFrame) -> float:
        return float(part["effect"].rank().corr(part["exact"].rank()))

    print(f"\nSpearman over {len(table)} candidates: {spearman(table):.3f}")
    for contrast, part in table.groupby("contrast"):
        print(f"  contrast {contrast}: {spearman(part):.3f} ({len(part)})")
    print("by layers:")
    for layers, part in table.groupby(table["layer"] // 5 * 5):
        by = {c: round(spearman(x), 3) for c, x in part.groupby("contrast")}
        ratio = np.polyfit(part["effect"], part["exact"], 1)[0]
        print(f"  {layers}-{layers + 4}: {spearman(part):.3f} {by}, exact/estimate {ratio:.2f}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
