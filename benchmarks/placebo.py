"""How often is a random rotation in the place of the roles said to do more than random?

    python benchmarks/placebo.py --comparison does-it-help

A comparison chooses and tests random directions exactly as it does the roles'. So each rotation is
taken for the roles in turn and judged against the others, by the package's own procedure: whatever
is found is false. From the run folder alone, in minutes.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import tyro

from role_lens.experiments import ConditionKind, DomainScores, judge, pooled, read_scores

ADD, RANDOM, BASELINE = (
    kind.value for kind in (ConditionKind.ADD, ConditionKind.RANDOM, ConditionKind.BASELINE)
)


@dataclass(frozen=True)
class Config:
    """Settings of the placebo."""

    comparison: Path
    """Run folder of a comparison."""
    permutations: int = 1000
    """Number of permutations in a sign-flip test."""
    seed: int = 0
    """Of the permutations."""
    out: Path = Path("placebo.json")
    """File for the figures."""


def as_role(scores: DomainScores, rotation: str) -> DomainScores:
    """The scores with one rotation in the place of the roles' own directions."""
    labels = scores.conditions
    chosen = (labels["kind"] == RANDOM) & (labels["detail"] == rotation)
    keep = labels["kind"].isin([BASELINE, RANDOM]).to_numpy()
    kinds = labels["kind"].mask(chosen, ADD)
    details = labels["detail"].mask(chosen, pd.NA)
    return replace(
        scores,
        conditions=labels.assign(kind=kinds, detail=details)[keep].reset_index(drop=True),
        margin=scores.margin[keep],
        logprob=scores.logprob[keep],
        correct=scores.correct[keep],
        blind=None,
    )


def main(config: Config) -> None:
    """Judge every rotation, print and write."""
    scores = [one for one in read_scores(config.comparison) if one.in_domain]
    scores = [one for one in scores if (one.conditions["kind"] == RANDOM).any()]
    labels = pd.concat([one.conditions for one in scores])
    rotations = sorted(set(labels.loc[labels["kind"] == RANDOM, "detail"]), key=int)
    verdicts, families = [], []
    for rotation in rotations:
        placebo = [as_role(one, rotation) for one in scores]
        options = {"permutations": config.permutations, "seed": config.seed}
        table = judge(placebo, judge_all=True, **options)
        found = table.loc[table["kind"] == ADD, "verdict"].dropna()
        together = pooled(table).set_index("domain").loc["all"]
        verdicts += found.tolist()
        families.append(
            {
                "rotation": rotation,
                "n": len(found),
                "more": int(found.str.startswith("more").sum()),
                "less": int(found.str.startswith("less").sum()),
                "p_more": float(together["p_more"]),
                "p_less": float(together["p_less"]),
            }
        )
        print(", ".join(f"{name} {value}" for name, value in families[-1].items()), flush=True)
    n = len(verdicts)
    said = {
        "placebo roles": n,
        "more than random": sum(one.startswith("more") for one in verdicts) / n,
        "less than random": sum(one.startswith("less") for one in verdicts) / n,
        "families with any more": sum(one["more"] > 0 for one in families) / len(families),
        "families with any less": sum(one["less"] > 0 for one in families) / len(families),
        "pooled more": sum(one["p_more"] <= 0.05 for one in families) / len(families),
        "pooled less": sum(one["p_less"] <= 0.05 for one in families) / len(families),
    }
    print(", ".join(f"{name} {value:.3g}" for name, value in said.items()))
    config.out.write_text(json.dumps({"said": said, "families": families}, default=str))


if __name__ == "__main__":
    main(tyro.cli(Config))
