"""Does the influence of prompts on an estimated effect foretell what happens without them?

    python benchmarks/influence.py --vectors roles.safetensors --role economist --layer 22

Leaves out one prompt, and random sets of prompts, finds the direction again from those that are
left, and adds it exactly. Prints rank correlations with the estimates, and the prompts that matter
most.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from scipy import stats

from role_lens import (
    Asking,
    DirectionSpec,
    Patch,
    RoleVectors,
    activations_at,
    encode_chat,
    evaluate,
    load_model,
    load_prompts,
    load_questions,
    load_roles,
)
from role_lens.models import PACKAGED_MODEL
from role_lens.questions import sample_questions
from role_lens.reading import fewest_that_turn, influence, without
from role_lens.scoring import Asker


@dataclass(frozen=True)
class Config:
    """Settings of the influence benchmark."""

    vectors: Path
    """A file written by `role-lens fit` on the built-in prompts."""
    role: str = "economist"
    """Whose direction it is."""
    layer: int = 22
    """Layer of the direction."""
    position: int = -1
    """Token position of the direction."""
    domain: str = "econ"
    """Domain of the built-in questions."""
    scoring: str = "cloze"
    """By letter or by the text of the option."""
    n_questions: int = 60
    """A random sample of them."""
    n_single: int = 100
    """How many prompts are left out, each alone: of the role, and then of the base."""
    n_sets: int = 20
    """How many random sets of the role's prompts are left out."""
    set_share: float = 0.25
    """Share of the role's prompts in a set."""
    model: str = PACKAGED_MODEL
    """The packaged model, a Hugging Face id, or a local folder."""
    seed: int = 0
    """Of all samples."""
    out: Path = Path("influence.json")
    """File for the figures."""


def main(config: Config) -> None:
    """Estimate, find again, add, compare."""
    rng = np.random.default_rng(config.seed)
    model = load_model(config.model)
    roles, base = load_roles("builtin"), load_prompts("builtin")
    vectors = RoleVectors.load(config.vectors).with_prompts(roles, base)
    questions = sample_questions(
        load_questions("builtin", domain=config.domain), config.n_questions, seed=config.seed
    )
    asked = Asker(model, Asking(config.scoring)).ask(questions)
    spec = DirectionSpec(config.role, layer=config.layer, position=config.position)
    table = influence(asked, vectors, spec)
    n_role, n_base = len(roles[config.role]), len(base)
    singles = [("role", i) for i in range(n_role)]
    more = rng.choice(n_base, max(0, config.n_single - n_role), replace=False)
    singles = [*singles, *(("base", int(i)) for i in more)][: config.n_single]
    size = round(config.set_share * n_role)
    sets = [sorted(rng.choice(n_role, size, replace=False).tolist()) for _ in range(config.n_sets)]
    turning = fewest_that_turn(table)

    system, place = vectors.provenance["system"], [(spec.layer, spec.position)]
    (own,), (others,) = (
        activations_at(model, encode_chat(model, texts, system), place)
        for texts in (roles[config.role], base)
    )

    def patch(kind: str, left_out: list[int]) -> Patch:
        keep = {
            "role": np.setdiff1d(np.arange(n_role), left_out if kind == "role" else []),
            "base": np.setdiff1d(np.arange(n_base), left_out if kind == "base" else []),
        }
        direction = own[keep["role"]].mean(dim=0) - others[keep["base"]].mean(dim=0)
        return Patch.add(direction, layer=spec.layer)

    tried = [(kind, [one]) for kind, one in singles] + [("role", some) for some in sets]
    tried += [("role", turning)] if turning else []
    patches: dict[str, Patch | None] = {"none": None, "whole": patch("role", [])}
    patches |= {str(i): patch(*one) for i, one in enumerate(tried)}
    scores = evaluate(model, questions, patches, Asking(config.scoring))
    means = scores.groupby("patch", sort=False)["margin"].mean().to_numpy()
    whole, exact = means[1] - means[0], np.array(means[2:]) - means[1]

    single = table.set_index(["kind", "prompt"])["influence"]
    estimate = float(table["estimate"].iloc[0])
    foretold_single = np.array([-single[one] for one in singles])
    foretold_sets = np.array([without(table, some) - estimate for some in sets])
    found = {
        "settings": asdict(config) | {"vectors": str(config.vectors), "out": str(config.out)},
        "estimate": estimate,
        "exact": whole,
        "single": _agreement(foretold_single, exact[: len(singles)]),
        "sets": _agreement(foretold_sets, exact[len(singles) : len(singles) + len(sets)]),
        "fewest that turn the estimate": turning,
        "exact effect without them": whole + float(exact[-1]) if turning else None,
        "largest": _texts(table, "role", largest=True),
        "smallest": _texts(table, "role", largest=False),
    }
    config.out.write_text(json.dumps(found, indent=1), "utf-8")
    print(json.dumps(found, indent=1))


def _agreement(foretold: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    return {
        "n": len(exact),
        "spearman": float(stats.spearmanr(foretold, exact).statistic),
        "largest change": float(np.abs(exact).max()),
    }


def _texts(table: pd.DataFrame, kind: str, *, largest: bool) -> list[tuple[float, str]]:
    own = table[table["kind"] == kind].sort_values("influence", ascending=not largest).head(3)
    return list(zip(own["influence"].round(5), own["text"], strict=True))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
