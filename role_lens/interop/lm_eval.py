"""Evaluates any lm-eval task on a patched model.

    evaluate_tasks(model, ["arc_easy"], {"baseline": None, "nurse": patch}, out="lm")

Patches are hooks on the model's own Hugging Face modules, so lm-eval's model class `HFLM` runs on
these as it is.
"""

import difflib
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from role_lens._run.fingerprint import refuse_hooks
from role_lens._run.forward import finite
from role_lens.errors import RoleLensError, first_line
from role_lens.experiments.store import open_store
from role_lens.files import write_table
from role_lens.interop.lm_eval_options import TaskOptions
from role_lens.interop.lm_eval_results import (
    KEY,
    as_json,
    file_name,
    paired_effects,
    paired_samples,
    results_form,
)
from role_lens.models import Model, is_bridge, own_tokenizer
from role_lens.patches.hooks import attached
from role_lens.patches.patch import Patch, Patches, named_patches
from role_lens.scoring.identity import content_hash, hash_of_patches, model_identity


@dataclass(frozen=True, eq=False)
class TaskResults:
    """What `evaluate_tasks` returns.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.interop import TaskResults
        >>> samples = pd.DataFrame({"doc_id": [0, 1], "baseline": [0.0, 1.0], "nurse": [1.0, 1.0]})
        >>> found = TaskResults(results={}, samples=samples, effects=pd.DataFrame())
        >>> (found.samples["nurse"] - found.samples["baseline"]).tolist()    # sample by sample
        [1.0, 0.0]
    """

    results: dict[str, dict[str, Any]]
    """Name of the patch -> lm-eval's own results."""
    samples: pd.DataFrame
    """One row per sample and metric that is a number: `task, doc_id, filter, metric`, and a
    column for each patch."""
    effects: pd.DataFrame
    """What each patch changes against the first one, paired by sample. One row per task or
    group, metric and patch: `task, filter, metric, patch`; `n` (samples); the means `before`
    (under the first patch) and `after`; their `difference` with its 95 % bootstrap interval
    `low, high`; and `p` of the two-sided sign-flip test, of this row alone. A group is the mean
    over all its samples."""


def evaluate_tasks(
    model: Model,
    tasks: Sequence[str],
    patches: Mapping[str, Patches],
    *,
    out: str | Path | None = None,
    options: TaskOptions = TaskOptions(),
) -> TaskResults:
    """Evaluate lm-eval tasks under each patch, with lm-eval's own `HFLM` and `simple_evaluate`.

    ```python
    patches = {"baseline": None, "nurse": vectors.add("nurse", layer=22)}
    evaluate_tasks(model, ["arc_easy"], patches, out="lm", options=TaskOptions(limit=100)).effects
    ```

    The tokenizer is the model's own, as plain lm-eval has it: base models get no BOS token, which
    TransformerLens would put before their texts.

    Args:
        model: a TransformerBridge, as `load_model` gives it.
        tasks: names of tasks, groups or tags, with wildcards if need be.
        patches: name -> patch, several patches, or None for the unchanged model; the first is what
            the others are compared with.
        out: run folder: `<name>.json` in lm-eval's own format and `<name>.samples.jsonl` of each
            patch, as soon as it is finished; at the end `samples.parquet` and `effects.csv`. A run
            that was stopped goes on after the last finished patch; another run, of other patches
            too, needs another folder. None to write nothing.
        options: batch size, limit, examples and the like.

    Returns:
        lm-eval's results, the metrics of every sample, and the changes against the first patch.

    Raises:
        RoleLensError: no tasks or patches, a task that lm-eval doesn't know or can't run, a model
            that is no TransformerBridge or carries hooks, a patch that doesn't fit it, isn't for
            all tokens (lm-eval doesn't tell the prompt from what follows) or makes activations
            infinite, names that make the same file, a folder that holds other results.

    Examples:
        >>> from role_lens.interop import evaluate_tasks
        >>> patches = {"baseline": None, "poet": vectors.add("poet", layer=1, tokens="prompt")}
        >>> evaluate_tasks(model, ["arc_easy"], patches)
        Traceback (most recent call last):
            ...
        role_lens.errors.RoleLensError: patch 'poet' is for tokens='prompt': ... act always
    """
    several = named_patches(patches)
    _check(model, tasks, several)
    # After what may be refused: they take seconds to import.
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    path = options.include_path
    manager = TaskManager(include_path=str(path) if path is not None else None)
    names = _known(manager, tasks)
    tokenizer = own_tokenizer(model)
    store = None
    if out is not None:
        store = open_store(
            out,
            {
                **model_identity(model),
                "tokenizer": content_hash([tokenizer.name_or_path, tokenizer.chat_template]),
                "tasks": names,
                "documents": _contents(names, manager, options.num_fewshot),
                **{f"option {name}": value for name, value in options.of_evaluation().items()},
                "patches": list(several),
                **{f"patch {name}": hash_of_patches(parts) for name, parts in several.items()},
                "version of lm-eval": version("lm-eval"),
            },
        )
    with _tied_as_it_is(model.original_model):
        lm = HFLM(
            pretrained=model.original_model,
            tokenizer=tokenizer,
            backend="causal",
            batch_size=options.batch_size,
        )
    results: dict[str, dict[str, Any]] = {}
    for name, parts in several.items():
        run = partial(_evaluate, model, lm, names, manager, parts, options)
        if store is None:
            results[name] = run()
        else:
            form = results_form(name, parts)
            results[name] = store.keep(f"{file_name(name)}.json", run, form)
    samples = paired_samples(results)
    effects = paired_effects(samples, list(patches), results)
    if store is not None:
        write_table(store.path / "samples.parquet", samples)
        write_table(store.path / "effects.csv", effects)
    return TaskResults(results, samples, effects)


def _check(
    model: Model,
    tasks: Sequence[str],
    patches: Mapping[str, Sequence[Patch]],
) -> None:
    if isinstance(tasks, str):
        raise RoleLensError(f"expected a list of tasks, got the string {tasks!r}")
    if not tasks or not patches:
        raise RoleLensError(
            f"evaluate_tasks needs at least one task and one patch, got {len(tasks)} and "
            f"{len(patches)}"
        )
    refuse_hooks(model)
    if not is_bridge(model):
        raise RoleLensError(
            "lm-eval runs only a TransformerBridge, got a HookedTransformer: load the model with "
            "load_model"
        )
    files = [file_name(name) for name in patches]
    if len({*files}) < len(files) or {*patches} & {*KEY}:
        raise RoleLensError(
            "each patch needs a name that stays different as a file name and is none of "
            f"{', '.join(KEY)}; got {list(patches)}"
        )
    for name, parts in patches.items():
        for patch in parts:
            patch.check(model)
            if patch.tokens != "all" or patch.gate is not None:
                what = "behind a gate" if patch.gate else f"for tokens={patch.tokens!r}"
                raise RoleLensError(
                    f"patch {name!r} is {what}: lm-eval doesn't tell the prompt from what follows "
                    "it, so patches must be for all tokens, and act always"
                )


def _known(manager: Any, tasks: Sequence[str]) -> list[str]:
    """The names of the tasks, wildcards expanded."""
    names: dict[str, None] = {}
    for task in tasks:
        found = [task] if task in manager.all_tasks else manager.match_tasks([task])
        if not found:
            near = difflib.get_close_matches(task, manager.all_tasks, n=3)
            hint = f": nearest are {', '.join(near)}" if near else ""
            raise RoleLensError(f"lm-eval knows no task {task!r}{hint}")
        names |= dict.fromkeys(found)
    return list(names)


def _contents(names: Sequence[str], manager: Any, num_fewshot: int | None) -> str:
    """Hash of all documents and settings of tasks: their files may change under the same name."""
    from lm_eval.tasks import get_task_dict

    digest = hashlib.sha256()

    def add(found: Mapping[Any, Any]) -> None:
        for name, task in found.items():
            if isinstance(task, Mapping):  # a group
                add(task)
                continue
            digest.update(f"{name}{as_json(task.dump_config())}".encode())
            shots = task.config.num_fewshot if num_fewshot is None else num_fewshot
            for document in itertools.chain(task.eval_docs, task.fewshot_docs() if shots else ()):
                digest.update(as_json(document).encode())

    with _one_line(names):
        add(get_task_dict(list(names), manager))
    return digest.hexdigest()


@contextmanager
def _one_line(names: Sequence[str]) -> Iterator[None]:
    """Turn whatever tasks raise, which are code and templates, into a RoleLensError of one line."""
    try:
        yield
    except RoleLensError:
        raise
    except Exception as error:
        raise RoleLensError(f"lm-eval can't run {', '.join(names)}: {first_line(error)}") from error


def _evaluate(
    model: Model,
    lm: Any,
    names: Sequence[str],
    manager: Any,
    patches: Sequence[Patch],
    options: TaskOptions,
) -> dict[str, Any]:
    from lm_eval import simple_evaluate

    def refuse_infinite(module: Any, args: Any, output: Any) -> None:
        finite(output.logits)

    watch = model.original_model.register_forward_hook(refuse_infinite)
    try:
        with _one_line(names), attached(model, patches):
            found = simple_evaluate(
                lm,
                tasks=list(names),
                task_manager=manager,
                log_samples=True,
                **options.of_evaluation(),
            )
    finally:
        watch.remove()
    assert found is not None  # only on other processes than the first
    return dict(found)


@contextmanager
def _tied_as_it_is(hf_model: Any) -> Iterator[None]:
    """Keep HFLM from tying embedding and unembedding, which differ where TransformerLens has
    processed the weights."""
    hf_model.tie_weights = lambda *args, **options: None
    try:
        yield
    finally:
        del hf_model.tie_weights
