"""What lm-eval gives for each patch: kept in a folder, and paired by sample.

Knows neither models nor patches' insides.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from role_lens.files import atomic_write, write_json
from role_lens.patches.patch import Patch
from role_lens.statistics.paired import bootstrap_interval, sign_flip_test

KEY = ["task", "doc_id", "filter", "metric"]
"""Columns that name a number of a sample."""
_COLUMNS = ["task", "filter", "metric", "patch", "n", "before", "after", "difference"]


def as_json(value: Any) -> str:
    """As JSON: numpy's numbers as numbers, what JSON doesn't have as its text."""

    def plain(one: Any) -> Any:
        return one.item() if isinstance(one, np.generic) else str(one)

    return json.dumps(value, default=plain)


def file_name(patch: str) -> str:
    return re.sub(r"[^\w@.-]+", "_", patch)


def write_results(
    folder: Path, name: str, key: str, found: Mapping[str, Any], patches: Sequence[Patch]
) -> None:
    done = [
        {"kind": p.kind, "layers": p.layers, "value": p.value, "norm": float(p.direction.norm())}
        for p in patches
    ]
    record = folder / f"{file_name(name)}.json"
    record.unlink(missing_ok=True)  # it stands for its samples, and comes after them
    with atomic_write(folder / f"{file_name(name)}.samples.jsonl") as temporary:
        lines = [
            as_json({"task": task, **sample})
            for task, some in found["samples"].items()
            for sample in some
        ]
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    kept = {key: value for key, value in found.items() if key != "samples"}
    kept["role_lens"] = {"key": key, "name": name, "patches": done}
    write_json(record, json.loads(as_json(kept)))


def read_results(folder: Path, name: str, key: str) -> dict[str, Any] | None:
    """What `write_results` wrote, if it was for the same."""
    try:
        found = json.loads((folder / f"{file_name(name)}.json").read_bytes())
        if found["role_lens"]["key"] != key:
            return None
        samples: dict[str, list[Any]] = {}
        for line in (folder / f"{file_name(name)}.samples.jsonl").read_bytes().splitlines():
            sample = json.loads(line)
            samples.setdefault(sample.pop("task"), []).append(sample)
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return None
    return {**found, "samples": samples}


def paired_samples(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Numeric metrics of every sample, a column per patch."""
    rows = [
        {
            "task": task,
            "doc_id": sample["doc_id"],
            "filter": sample.get("filter", "none"),
            "metric": metric,
            "patch": patch,
            "value": float(sample[metric]),
        }
        for patch, result in results.items()
        for task, some in result["samples"].items()
        for sample in some
        for metric in sample.get("metrics", [])
        if isinstance(sample.get(metric), (int, float, np.number))
    ]
    if not rows:
        return pd.DataFrame(columns=[*KEY, *results])
    table = pd.DataFrame(rows).pivot(index=KEY, columns="patch", values="value")
    return table.reindex(columns=list(results)).rename_axis(columns=None).reset_index()


def paired_effects(
    samples: pd.DataFrame, patches: Sequence[str], results: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    first, *others = patches
    samples = samples.dropna()
    of_group = results[first].get("group_subtasks", {})
    parts = [samples] + [
        samples[samples["task"].isin(_leaves(group, of_group))].assign(task=group)
        for group in of_group
        if of_group[group]
    ]
    rows = []
    for (task, name, metric), part in pd.concat(parts).groupby(KEY[:1] + KEY[2:], sort=False):
        for patch in others:
            change = (part[patch] - part[first]).to_numpy()
            low, high = bootstrap_interval(change, level=0.95)
            numbers = (part[first].mean(), part[patch].mean(), change.mean())
            p = float(sign_flip_test(change[None]).p[0])
            rows.append((task, name, metric, patch, len(change), *numbers, low, high, p))
    return pd.DataFrame.from_records(rows, columns=[*_COLUMNS, "low", "high", "p"])


def _leaves(group: str, of_group: Mapping[str, Sequence[str]]) -> set[str]:
    """The tasks of a group, and of the groups in it."""
    inner = of_group.get(group) or ()
    return {group} if not inner else {leaf for one in inner for leaf in _leaves(one, of_group)}
