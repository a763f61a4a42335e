"""Runs one comparison for each way of finding directions, and judges all of them together.

    table = compare_finders(model, {"means": means, "pca": pca}, exam, "finders")
    table[["role", "finder", "excess", "verdict"]]

Each way is chosen from and tested as `compare` does it, with its own random directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from role_lens.compute import Compute
from role_lens.directions import MEAN_CONTRASTS
from role_lens.errors import RoleLensError
from role_lens.experiments.comparison import compare
from role_lens.experiments.comparison_scores import read_scores
from role_lens.experiments.judging.effects import DomainScores
from role_lens.experiments.judging.judgement import judge
from role_lens.experiments.judging.summaries import pooled
from role_lens.experiments.options import Exam, Selection, TestPlan
from role_lens.experiments.selection import folder_of
from role_lens.files import make_folder, write_table
from role_lens.models import Model
from role_lens.values import shown
from role_lens.vectors import RoleVectors, check_vectors

_OF_FINDERS = ("excess", "excess_low", "excess_high", "n_random", "p_more", "p_less", "verdict")
_ALONE = (
    *("contrast", "layer", "position", "coefficient", "schedule", "persona", "neutral_persona"),
    *("learned", "learned_low", "learned_high"),
)


def compare_finders(
    model: Model,
    vectors: Mapping[str, RoleVectors],
    exam: Exam,
    out: str | Path,
    selection: Selection = Selection(),
    plan: TestPlan = TestPlan(),
    compute: Compute = Compute(),
) -> pd.DataFrame:
    """Compare ways of finding directions: for each of them choose, test, and judge all together.

    Of vectors with directions of another finder than differences of means, or that were imported,
    only those are tried, so that each way stands for itself. p values are adjusted for all roles
    and ways. The controls that must be found are not tried: `compare` does it.

    Args:
        model: the model that all the vectors are of.
        vectors: name of the way -> its role vectors.
        exam, selection, plan, compute: as for `compare`. The selection's contrasts are not used.
        out: run folder: the run folder of each comparison is in it, and a stopped run goes on.

    Returns:
        One row per role and way in the role's own domain: `role, finder, domain, n, contrast,
        layer, position, coefficient, add` (effect of the addition), `persona`, and the columns of
        `judge` that hold it against random directions. `out` holds it as `finders.parquet`, and
        each way's roles together, against their random directions, as `pooled.parquet`, and the
        effects of all conditions as `effects.parquet`.

    Raises:
        RoleLensError: no vectors, and all that `compare` raises.

    Examples:
        >>> from role_lens.experiments import compare_finders
        >>> from role_lens.finders import FINDERS
        >>> found = {
        ...     name: RoleVectors.fit(model, roles, base, finder=name, positions=[-1])
        ...     for name in ("means", "pca")
        ... }
        >>> exam = Exam(many_questions, domains={"poet": "verse"})
        >>> selection = Selection(Grid(roles=("poet",), layers=(1,), screen=1), max_kl=None)
        >>> plan = TestPlan(n_shuffled=0, max_off_domain=0, judge_all=True)
        >>> quiet = Compute(progress=False)
        >>> table = compare_finders(model, found, exam, folder / "run", selection, plan, quiet)
        >>> table[["role", "finder"]].values.tolist()
        [['poet', 'means'], ['poet', 'pca']]
    """
    if not isinstance(vectors, Mapping) or not vectors:
        raise RoleLensError(
            "vectors must be a mapping of names to role vectors, such as {'means': vectors}, got "
            f"{shown(vectors)}"
        )
    for one in vectors.values():
        check_vectors(one)
    folder, tables, scores = make_folder(out), [], []
    without_controls = replace(plan, positive_controls=False)
    for name, one in vectors.items():
        place = folder_of(folder, name)
        own = replace(selection, grid=replace(selection.grid, contrasts=_contrasts(one)))
        table = compare(model, one, exam, place, own, without_controls, compute)
        tables.append(table[table["in_domain"]].assign(finder=name))
        scores += [(name, score) for score in read_scores(place) if score.in_domain]
    effects = judge(
        [one for one in _together(scores) if len(one.conditions) > 1],
        bound=plan.bound,
        judge_all=plan.judge_all,
        permutations=plan.permutations,
        seed=plan.seed,
    )
    alone = pd.concat(tables, ignore_index=True)
    found = _jointly(alone, effects)
    write_table(folder / "finders.parquet", found)
    write_table(folder / "effects.parquet", effects.assign(**_apart(effects["role"])))
    write_table(folder / "pooled.parquet", _pooled(effects, list(vectors)))
    return found


def _contrasts(vectors: RoleVectors) -> tuple[str, ...]:
    own = tuple(name for name in vectors.contrasts if name not in MEAN_CONTRASTS)
    return own or vectors.contrasts


def _together(scores: Sequence[tuple[str, DomainScores]]) -> list[DomainScores]:
    """The scores of each domain under the conditions of all finders, which their roles' names tell
    apart; those of no role, such as the baseline, once."""
    by_domain: dict[str, list[tuple[str, DomainScores]]] = {}
    for name, one in scores:
        by_domain.setdefault(one.domain, []).append((name, one))
    together = []
    for parts in by_domain.values():
        blind = [(name, one.blind) for name, one in parts if one.blind is not None]
        hidden = _stacked(blind) if len(blind) == len(parts) else None
        together.append(replace(_stacked(parts), blind=hidden))
    return together


def _stacked(parts: Sequence[tuple[str, DomainScores]]) -> DomainScores:
    labels: list[pd.DataFrame] = []
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for name, one in parts:
        own = one.conditions.copy()
        has_role = own["role"].notna()
        own.loc[has_role, "role"] = [_joint(role, name) for role in own["role"][has_role]]
        keep = np.flatnonzero(has_role if labels else np.ones(len(own), dtype=bool))
        labels.append(own.iloc[keep])
        rows.append((one.margin[keep], one.logprob[keep], one.correct[keep]))
    margin, logprob, correct = (np.concatenate(some) for some in zip(*rows, strict=True))
    domain, together = parts[0][1].domain, pd.concat(labels, ignore_index=True)
    return DomainScores(domain, True, together, margin, logprob, correct)


def _joint(role: str, finder: str) -> str:
    return f"{role}\N{INFORMATION SEPARATOR ONE}{finder}"


def _apart(roles: pd.Series) -> dict[str, pd.Series]:
    """Roles and finders out of joint names."""
    parts = roles.str.split("\N{INFORMATION SEPARATOR ONE}", n=1)
    return {"role": parts.str[0], "finder": parts.str[1]}


def _jointly(alone: pd.DataFrame, effects: pd.DataFrame) -> pd.DataFrame:
    """The table of all finders, with p values that are adjusted for all of them."""
    added = effects[effects["kind"] == "add"].set_index("role")
    table = alone.reset_index(drop=True)
    for i, row in table.iterrows():
        name = _joint(row["role"], row["finder"])
        if name in added.index:
            table.loc[i, list(_OF_FINDERS)] = added.loc[name, list(_OF_FINDERS)].to_numpy()
    first = ["role", "finder", "domain", "n"]
    columns = [name for name in (*_ALONE, "add", *_OF_FINDERS) if name in table]
    order = {name: i for i, name in enumerate(dict.fromkeys(table["finder"]))}
    table = table.sort_values(
        ["domain", "role", "finder"], key=lambda c: c.map(order) if c.name == "finder" else c
    )
    return table[[*first, *columns]].reset_index(drop=True)


def _pooled(effects: pd.DataFrame, finders: Sequence[str]) -> pd.DataFrame:
    """All roles of each finder together, against their random directions."""
    parts = []
    for name in finders:
        own = effects["role"].isna() | effects["role"].str.endswith(_joint("", name), na=False)
        parts.append(pooled(effects[own]).assign(finder=name))
    return pd.concat(parts, ignore_index=True)
