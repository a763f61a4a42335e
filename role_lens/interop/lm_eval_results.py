"""Keeps what lm-eval gives for each patch, and pairs it sample by sample.

    store.keep("baseline.json", run, results_form("baseline", patches))
    paired_effects(paired_samples(results), ["baseline", "nurse"], results)

Each patch has a file in lm-eval's own format, and its samples beside it as JSON Lines.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from role_lens.experiments.store import Form
from role_lens.files import atomic_write, remove_file, write_json
from role_lens.patches.patch import Patch
from role_lens.scoring.identity import hash_of_patches
from role_lens.statistics.paired import bootstrap_interval, sign_flip_test

KEY = ["task", "doc_id", "filter", "metric"]
"""Columns that name one number of one sample."""
_COLUMNS = ["task", "filter", "metric", "patch", "n", "before", "after", "difference"]


def as_json(value: Any) -> str:
    """A value as JSON: numpy's numbers as numbers, and what JSON has no form for as its text."""

    def plain(one: Any) -> Any:
        return one.item() if isinstance(one, np.generic) else str(one)

    return json.dumps(value, default=plain)


def file_name(patch: str) -> str:
    """A patch's name as it can stand in a file's name."""
    return re.sub(r"[^\w@.-]+", "_", patch)


def results_form(name: str, patches: Sequence[Patch]) -> Form[dict[str, Any]]:
    """How the results of one patch are kept: `<name>.json` in lm-eval's own format, and the samples
    beside it as JSON Lines.

    Args:
        name: the patch's name.
        patches: what it consists of; results of another patch of this name are not read.
    """

    def write(record: Path, found: Mapping[str, Any]) -> None:
        done = [
            {
                "kind": p.kind,
                "layers": p.layers,
                "weights": p.weights,
                "value": p.value,
                "norm": float(p.direction.norm()),
            }
            for p in patches
        ]
        remove_file(record)  # it stands for its samples, and comes after them
        with atomic_write(_samples_file(record), new_folder=False) as temporary:
            lines = [
                as_json({"task": task, **sample})
                for task, some in found["samples"].items()
                for sample in some
            ]
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        kept = {key: value for key, value in found.items() if key != "samples"}
        kept["role_lens"] = {"key": hash_of_patches(patches), "name": name, "patches": done}
        write_json(record, json.loads(as_json(kept)))

    def read(record: Path) -> dict[str, Any]:
        found = json.loads(record.read_bytes())
        if found["role_lens"]["key"] != hash_of_patches(patches):
            raise ValueError("another patch of this name")
        samples: dict[str, list[Any]] = {}
        for line in _samples_file(record).read_bytes().splitlines():
            sample = json.loads(line)
            samples.setdefault(sample.pop("task"), []).append(sample)
        return {**found, "samples": samples}

    return Form(read, write)


def _samples_file(record: Path) -> Path:
    return record.with_name(f"{record.name.removesuffix('.json')}.samples.jsonl")


def paired_samples(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The metrics of every sample that are numbers, a column for each patch."""
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
    """Changes against the first patch, by task or group and metric; see `TaskResults.effects`."""
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
