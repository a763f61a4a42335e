"""Takes what a comparison chose and judged for a role, as a patch with its verdict.

    saved = judged_patch("verdict", vectors, "economist")
    saved.about["verdict"]["verdict"]    # 'no more than random: within ± 0.06'

So what leaves the package carries what was found out about it, and under which conditions.
"""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from role_lens.direction_spec import DirectionSpec
from role_lens.errors import RoleLensError
from role_lens.experiments.store import read_identity
from role_lens.files import as_path
from role_lens.patches.patch_file import SavedPatches
from role_lens.prompts import role_name
from role_lens.scoring.identity import hash_of_patches, hash_of_vectors
from role_lens.values import shown
from role_lens.vectors import RoleVectors, check_vectors

_TOLD = (
    *("domain", "n", "baseline", "baseline_accuracy", "add", "low", "high", "accuracy_change"),
    *("excess", "excess_low", "excess_high", "n_random", "p_more", "p_less", "p_helps_adjusted"),
    *("p_hurts_adjusted", "p_question_more", "p_question_less", "knowledge", "p_knows"),
    *("blind_effect", "beyond_blind_low", "beyond_blind_high", "detectable_excess", "persona"),
    *("neutral_persona", "learned", "learned_low", "learned_high", "verdict"),
)
"""Columns of a comparison that go with the patch."""
_IN_BRIEF = ("role", "domain", "n", "add", "excess", "excess_low", "excess_high", "verdict")
_CONDITIONS = ("model", "asking", "selection", "plan", "versions")


def judged_patch(folder: str | Path, vectors: RoleVectors, role: str) -> SavedPatches:
    """The addition that a comparison chose for a role, with the verdict on it.

    Args:
        folder: run folder of `compare`.
        vectors: the role vectors that were compared.
        role: one of the roles that were judged.

    Returns:
        The addition, and about it: `role`, `direction` (its address), `model`, `vectors` (their
        hash), `verdict` (effects on the role's own domain, in margins, and the verdict in words),
        and `conditions` (model, how questions were asked, selection, plan, versions of packages).

    Raises:
        RoleLensError: the folder holds no comparison that ended, or one of other vectors; no
            direction was chosen for the role.

    Examples:
        >>> from role_lens.experiments import judged_patch
        >>> exam = Exam(many_questions, domains={"poet": "verse"})
        >>> selection = Selection(Grid(roles=("poet",), layers=(1,)), max_kl=None)
        >>> plan = TestPlan(n_shuffled=0, max_off_domain=0, judge_all=True)
        >>> quiet = Compute(progress=False)
        >>> table = compare(model, vectors, exam, folder / "run", selection, plan, quiet)
        >>> saved = judged_patch(folder / "run", vectors, "poet")
        >>> saved.patches[0].layers, saved.about["verdict"]["domain"]
        ((1,), 'verse')
    """
    place = as_path(folder)
    record, table = _comparison(place, vectors)
    table = table.set_index("role")
    name = role_name(role)
    if name not in table.index:
        raise RoleLensError(
            f"{place} has no role {shown(name)}: it has {', '.join(map(str, table.index))}"
        )
    row = table.loc[[name]].iloc[0]
    if pd.isna(row["layer"]):
        raise RoleLensError(f"{place}: nothing to hand over for {name}: {row['verdict']}")
    spec = DirectionSpec.of_row({**row, "role": name})
    about = {
        **about_direction(vectors, spec),
        "verdict": {key: _plain(row[key]) for key in _TOLD if key in row.index},
        "conditions": {name: record[name] for name in _CONDITIONS},
    }
    return SavedPatches((vectors.patch("add", spec),), about)


def with_verdicts(saved: SavedPatches, folder: str | Path) -> SavedPatches:
    """What a file of a patch holds, with what `judge_patch` found out about it.

    Args:
        saved: the patch that was judged, and what is known of it.
        folder: run folder of `judge_patch`.

    Returns:
        The same, and about it: `verdicts`, which is a list of the result's rows.

    Raises:
        RoleLensError: the folder holds no such test that ended, or that of another patch.

    Examples:
        >>> from role_lens.experiments import judge_patch, with_verdicts
        >>> from role_lens.patches import SavedPatches
        >>> saved, exam = SavedPatches((vectors.ablate("poet", layer=1),)), Exam(many_questions)
        >>> plan = TestPlan(judge_all=True)
        >>> quiet = Compute(progress=False)
        >>> table = judge_patch(model, saved.patches, exam, folder / "run", plan, quiet)
        >>> [one["domain"] for one in with_verdicts(saved, folder / "run").about["verdicts"]]
        ['food', 'verse']
    """
    place = as_path(folder)
    try:
        of_patches = read_identity(place)["patches"]
        table = pd.read_parquet(place / "patch.parquet")
    except (RoleLensError, OSError, ValueError, KeyError) as error:
        raise RoleLensError(
            f"{place} holds no test of a patch that has ended: `role-lens compare --patch` makes "
            "one"
        ) from error
    if of_patches != hash_of_patches(saved.patches):
        raise RoleLensError(f"{place} is a test of another patch: take the file that was judged")
    rows = [{key: _plain(value) for key, value in row.items()} for row in table.to_dict("records")]
    return replace(saved, about={**saved.about, "verdicts": rows})


def judged_roles(folder: str | Path, vectors: RoleVectors) -> pd.DataFrame:
    """What a comparison found out about each role on the questions of its own domain.

    Args:
        folder: run folder of `compare`.
        vectors: the role vectors that were compared.

    Returns:
        `role`, `domain`, `n` (questions), `add` (effect of the chosen direction, in margins),
        `excess` (over random directions) with `excess_low` and `excess_high`, and `verdict`, a row
        for each role.

    Raises:
        RoleLensError: the folder holds no comparison that ended, or one of other vectors.

    Examples:
        >>> from role_lens.experiments import judged_roles
        >>> judged_roles("elsewhere", vectors)
        Traceback (most recent call last):
            ...
        role_lens.errors.RoleLensError: elsewhere holds no comparison that has ended: `role-lens \
compare` makes one
    """
    table = _comparison(as_path(folder), vectors)[1]
    return table.reindex(columns=list(_IN_BRIEF)).reset_index(drop=True)


def _comparison(place: Path, vectors: RoleVectors) -> tuple[dict[str, Any], pd.DataFrame]:
    """The record of a comparison, and its rows of the roles' own domains."""
    check_vectors(vectors)
    try:
        record = json.loads((place / "comparison.json").read_text(encoding="utf-8"))
        table = pd.read_parquet(place / "comparison.parquet")
        of_vectors = record["vectors"]
        table = table[table["in_domain"].astype(bool)]
        missing = ({"layer", *_IN_BRIEF[:2], "verdict"} - {*table.columns}) | (
            {*_CONDITIONS} - {*record}
        )
        if missing:
            raise KeyError(*missing)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RoleLensError(
            f"{place} holds no comparison that has ended: `role-lens compare` makes one"
        ) from error
    if of_vectors != (own := hash_of_vectors(vectors)):
        raise RoleLensError(
            f"{place} is a comparison of other vectors (hash {str(of_vectors)[:12]}, these have "
            f"{own[:12]}): take the file that was compared"
        )
    return record, table


def about_direction(vectors: RoleVectors, spec: DirectionSpec) -> dict[str, Any]:
    """What is known of a direction, as JSON values, for the file of its patch.

    Examples:
        >>> from role_lens.experiments import about_direction
        >>> about_direction(vectors, DirectionSpec("poet", layer=1))["direction"]["layer"]
        1
    """
    return {
        "role": spec.role,
        "direction": asdict(spec),
        "model": vectors.provenance.get("model"),
        "vectors": hash_of_vectors(vectors),
    }


def _plain(value: Any) -> Any:
    """A value of a table as a JSON value."""
    value = value.item() if hasattr(value, "item") else value
    return None if value is pd.NA or (isinstance(value, float) and math.isnan(value)) else value
