"""`role-lens lm-eval` runs lm-eval tasks without and with a role vector.

    role-lens lm-eval --vectors roles.safetensors --role nurse --layer 22 --tasks arc_easy --out lm

lm-eval fetches a task's questions, those of arc_easy from the Hugging Face hub.
"""

from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.interop.lm_eval_options import TaskOptions
from role_lens.reporting.options import Common, PatchOptions
from role_lens.reporting.terminal import say


def run(
    patching: Annotated[PatchOptions, tyro.conf.arg(name="")],
    options: Common,
    tasks: tuple[str, ...],
    out: Path,
    how: Annotated[TaskOptions, tyro.conf.arg(name="")] = TaskOptions(),
) -> None:
    """Evaluate lm-eval tasks without and with a role vector.

    Args:
        tasks: Names of lm-eval tasks, groups or tags.
        out: Run folder, for lm-eval's results and every sample: a new one, or that of the same run,
            which goes on where it was stopped.
    """
    from lm_eval.utils import make_table

    from role_lens.files import as_path, check_folder

    check_folder(out)
    patches = patching.patches()
    found = rl.interop.evaluate_tasks(options.load(), tasks, patches, out=out, options=how)
    for name, results in found.results.items():
        say(f"{name}\n{make_table(results)}")
    if len(found.effects):
        say("Paired by sample; p is of each line alone:")
        say(found.effects.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    say(f"\nWritten to {as_path(out).resolve()}")
