"""The tour behind `role-lens demo`: fit, look at, read, steer with and score role vectors.

    run_demo(model, Material(roles, base, questions), Path("role-lens-demo"), print)

Every step says what it does and what comes out, and writes its tables and figures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from role_lens import (
    Asking,
    Question,
    RoleVectors,
    evaluate,
    generate,
    summarize,
)
from role_lens.directions import cosine_similarity
from role_lens.files import make_folder, write_table
from role_lens.models import Model
from role_lens.patches import Patches
from role_lens.reading import geometry_by_layer, logit_lens
from role_lens.reporting import plot_by_layer, plot_cosines, plot_scores

ROLES = ("lawyer", "nurse", "sheriff")
PROMPT = "What should I think about before I buy a used bicycle?"
SCORED = ("economist", "econ")
POSITION = -1
COEFFICIENT = 2.5


@dataclass(frozen=True, eq=False)
class Material:
    """What the tour is made with."""

    roles: Mapping[str, Sequence[str]]
    """Role -> its prompts."""
    base: Sequence[str]
    questions: Sequence[Question]


def run_demo(model: Model, material: Material, folder: Path, say: Callable[[str], None]) -> Path:
    """Fit, look, read, steer and score; write vectors, tables and figures.

    Args:
        say: called with each piece of text for the reader.

    Returns:
        The output folder.
    """
    folder = make_folder(folder)
    roles, base = material.roles, material.base
    n_prompts = sum(map(len, roles.values()))
    say(f"1. Fit {len(roles)} roles: {n_prompts} role prompts, {len(base)} base prompts.")
    vectors = RoleVectors.fit(model, roles, base)
    vectors.save(folder / "vectors.safetensors")
    _look(vectors, folder, say)
    _read(model, vectors, folder, say)
    _steer(model, vectors, folder, say)
    _score(model, vectors, material.questions, folder, say)
    return folder


def steering_layer(n_layers: int) -> int:
    """The layer at which the demo steers: three quarters up, where directions tell roles apart."""
    return 3 * n_layers // 4


def _look(vectors: RoleVectors, folder: Path, say: Callable[[str], None]) -> None:
    table = geometry_by_layer(vectors)
    write_table(folder / "by_layer.csv", table)
    shown = (
        table[table["position"] == POSITION]
        .pivot(index="layer", columns="contrast", values=["auc", "mean_cosine"])
        .dropna(how="all")
    )
    shown.columns = pd.Index([" ".join(map(str, pair)) for pair in shown.columns])
    say(
        "\n2. How separable and how alike are the directions, layer by layer?\n"
        "   auc: held-out prompts of the role told from base prompts (base) or from the other\n"
        "   roles' (roles), 0.5 is chance. mean_cosine: over all pairs of roles (with\n"
        f"   contrast roles always near -1/{len(vectors.roles) - 1}: those directions sum to 0).\n"
        f"   Position {POSITION}; at layer 0 all prompts are still the same there.\n"
    )
    say(shown.to_string(float_format=lambda value: f"{value:.2f}"))
    plot_by_layer(table, folder / "by_layer.png", position=POSITION)
    layer = vectors.n_layers - 1
    cosines = {
        f"contrast {contrast}, layer {layer}": pd.DataFrame(
            cosine_similarity(
                vectors.directions(contrast)[:, vectors.positions.index(POSITION), layer]
            ),
            index=vectors.roles,
            columns=vectors.roles,
        )
        for contrast in ("base", "roles")
    }
    plot_cosines(cosines, folder / "cosines.png")


def _read(model: Model, vectors: RoleVectors, folder: Path, say: Callable[[str], None]) -> None:
    layer = vectors.n_layers - 1
    say(f"\n3. What do directions say? Logit lens at layer {layer}, position {POSITION}.\n")
    rows = []
    for role in ROLES:
        for contrast in ("base", "roles"):
            direction = vectors.direction(role, layer=layer, position=POSITION, contrast=contrast)
            words = logit_lens(model, direction[None], top_k=10)[0]
            rows.append({"role": role, "contrast": contrast, "words": " ".join(words)})
            say(f"   {role:>8} ({contrast:5}): " + "|".join(word.strip() for word in words))
    write_table(folder / "logit_lens.csv", pd.DataFrame(rows))


def _steer(model: Model, vectors: RoleVectors, folder: Path, say: Callable[[str], None]) -> None:
    layer = steering_layer(vectors.n_layers)
    say(
        f"\n4. Steer: {PROMPT!r},\n"
        f"   adding {COEFFICIENT} x the direction (contrast roles) at layer {layer}."
    )
    rows = [{"role": "plain", "text": generate(model, PROMPT, max_new_tokens=48, progress=True)}]
    for role in ROLES:
        patch = vectors.add(
            role, layer=layer, position=POSITION, coefficient=COEFFICIENT, contrast="roles"
        )
        rows.append(
            {
                "role": role,
                "text": generate(model, PROMPT, patch=patch, max_new_tokens=48, progress=True),
            }
        )
    for row in rows:
        say(f"\n   [{row['role']}] " + str(row["text"]).replace("\n", "\n   "))
    write_table(folder / "steered.csv", pd.DataFrame(rows))


def _score(
    model: Model,
    vectors: RoleVectors,
    questions: Sequence[Question],
    folder: Path,
    say: Callable[[str], None],
) -> None:
    role, domain = SCORED
    layer = steering_layer(vectors.n_layers)
    asked = [question for question in questions if question.domain == domain]
    patches: dict[str, Patches] = {
        "baseline": None,
        f"add {role}": vectors.add(role, layer=layer, position=POSITION),
        f"ablate {role}": vectors.ablate(role, layer=layer, position=POSITION),
    }
    say(
        f"\n5. Does it help? {len(asked)} built-in {domain} questions, {role} at layer "
        f"{layer}, added or ablated.\n"
    )
    summaries = []
    for scoring in ("letter", "cloze"):
        table = evaluate(model, asked, patches, Asking(scoring))
        write_table(folder / f"scores_{scoring}.parquet", table)
        summaries.append(summarize(table).assign(scoring=scoring))
    summary = pd.concat(summaries, ignore_index=True)
    write_table(folder / "scores.csv", summary)
    plot_scores(summary, folder / "scores.png")
    order = ["scoring", "patch", "n", "accuracy", "accuracy_se", "chance", "margin", "choice_mass"]
    say(summary[order].to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    error = (0.25 / len(asked)) ** 0.5
    say(
        f"\n   With {len(asked)} questions the standard error of an accuracy is about "
        f"{error:.2f}:\n   smaller differences than about twice that say nothing."
    )
