"""Any lm-eval task on a patched model, and any of our questions as an lm-eval task.

The model's own modules carry the hooks, so lm-eval's HFLM runs as it is. Knows patches, not roles.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from role_lens.errors import RoleLensError
from role_lens.evaluation.questions import LETTERS, Question, Template, question_text
from role_lens.evaluation.statistics import bootstrap_interval, sign_flip_test
from role_lens.files import atomic_write, make_folder
from role_lens.models import Model, is_bridge, own_tokenizer
from role_lens.patches import Patches, as_sequence, attached


@dataclass(frozen=True, eq=False)
class TaskResults:
    """What `evaluate_tasks` gives."""

    results: dict[str, dict[str, Any]]
    """Name of the patch -> lm-eval's own results."""
    samples: pd.DataFrame
    """One row per sample and metric: `task, doc_id, filter, metric`, and a column per patch."""
    effects: pd.DataFrame
    """One row per task, metric and patch but the first: `task, filter, metric, patch, n`, the
    means `before` (under the first patch) and `after`, their `difference` with its 95 % bootstrap
    interval `low, high`, and `p` of the two-sided sign-flip test, paired by sample, for this one
    alone."""

    def write(self, folder: Path) -> None:
        """Write `<patch>.json` in lm-eval's format for each patch, `samples.parquet` and
        `effects.csv`."""
        for name, result in self.results.items():
            kept = {key: value for key, value in result.items() if key != "samples"}
            file = re.sub(r"[^\w@.-]+", "_", name)
            with atomic_write(folder / f"{file}.json") as temporary:
                text = json.dumps(kept, indent=1, default=str)
                temporary.write_text(text + "\n", encoding="utf-8")
        with atomic_write(folder / "samples.parquet") as temporary:
            self.samples.to_parquet(temporary)
        with atomic_write(folder / "effects.csv") as temporary:
            self.effects.to_csv(temporary, index=False)


def evaluate_tasks(
    model: Model,
    tasks: Sequence[str],
    patches: Mapping[str, Patches],
    *,
    include_path: str | Path | None = None,
    batch_size: int | str = 8,
    **options: Any,
) -> TaskResults:
    """Evaluate lm-eval tasks under each patch, with lm-eval's own `HFLM` and `simple_evaluate`.

    Args:
        tasks: names of tasks, groups or tags.
        patches: name -> patch, several patches, or None for the unchanged model; the first is what
            the others are compared with.
        include_path: folder with task files of one's own.
        batch_size: of `HFLM`.
        options: passed on to `lm_eval.simple_evaluate`, such as `limit`, `num_fewshot`,
            `apply_chat_template`, `gen_kwargs`.

    Raises:
        RoleLensError: no tasks or patches, a task that lm-eval doesn't know or can't load, a model
            that is no TransformerBridge, a patch that doesn't fit it or isn't for all tokens
            (lm-eval doesn't tell the prompt from what follows).
    """
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    if not tasks or not patches:
        raise RoleLensError("evaluate_tasks needs at least one task and one patch")
    if not is_bridge(model):
        raise RoleLensError("lm-eval takes models with Hugging Face modules: a TransformerBridge")
    several = {name: as_sequence(patch) for name, patch in patches.items()}
    for name, parts in several.items():
        for patch in parts:
            patch.check(model)
            if patch.tokens != "all":
                raise RoleLensError(
                    f"patch {name!r} is for tokens={patch.tokens!r}: lm-eval doesn't tell the "
                    "prompt from what follows it, so patches must be for all tokens"
                )
    manager = TaskManager(include_path=str(include_path) if include_path is not None else None)
    for task in tasks:
        if not manager.match_tasks([task]):
            near = difflib.get_close_matches(task, manager.all_tasks, n=3)
            hint = f": nearest are {', '.join(near)}" if near else ""
            raise RoleLensError(f"lm-eval knows no task {task!r}{hint}")
    lm = HFLM(
        pretrained=model.original_model,
        tokenizer=own_tokenizer(model),
        backend="causal",
        batch_size=batch_size,
    )
    results = {}
    for name, parts in several.items():
        with attached(model, parts):
            try:
                found = simple_evaluate(
                    lm, tasks=list(tasks), task_manager=manager, log_samples=True, **options
                )
            except (FileNotFoundError, ConnectionError) as error:
                raise RoleLensError(f"lm-eval can't load the tasks' data: {error}") from error
        assert found is not None  # only on other processes than the first
        results[name] = dict(found)
    samples = _samples(results)
    return TaskResults(results, samples, _effects(samples, list(patches)))


def write_task(
    questions: Sequence[Question], folder: str | Path, name: str, *, template: Template = "paper"
) -> Path:
    """Write questions as an lm-eval task that scores the letters of the choices.

    With `apply_chat_template=True` the prompts are those of `evaluate` with `scoring="letter"`.

    Returns:
        The YAML file; its folder is the `include_path` of `evaluate_tasks`.

    Raises:
        RoleLensError: no questions, or the folder can't be written to.
    """
    if not questions:
        raise RoleLensError("a task needs at least one question")
    out = make_folder(folder)
    rows = [
        {
            "id": question.id,
            "text": question_text(question, template),
            "letters": list(LETTERS[: len(question.choices)]),
            "answer": question.answer,
        }
        for question in questions
    ]
    data = out.absolute() / f"{name}.jsonl"
    with atomic_write(data) as temporary:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        temporary.write_text(text, encoding="utf-8")
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "letters",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    file = out / f"{name}.yaml"
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(task, indent=1) + "\n", encoding="utf-8")  # JSON is YAML
    return file


def _samples(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
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
        return pd.DataFrame(columns=["task", "doc_id", "filter", "metric", *results])
    key = ["task", "doc_id", "filter", "metric"]
    table = pd.DataFrame(rows).pivot(index=key, columns="patch", values="value")
    return table[list(results)].rename_axis(columns=None).reset_index()


def _effects(samples: pd.DataFrame, patches: Sequence[str]) -> pd.DataFrame:
    first, *others = patches
    rows = []
    for (task, name, metric), part in samples.groupby(["task", "filter", "metric"], sort=False):
        for patch in others:
            change = (part[patch] - part[first]).to_numpy()
            low, high = bootstrap_interval(change)
            rows.append(
                {
                    "task": task,
                    "filter": name,
                    "metric": metric,
                    "patch": patch,
                    "n": len(change),
                    "before": part[first].mean(),
                    "after": part[patch].mean(),
                    "difference": change.mean(),
                    "low": low,
                    "high": high,
                    "p": float(sign_flip_test(change[None]).p[0]),
                }
            )
    return pd.DataFrame(rows)
