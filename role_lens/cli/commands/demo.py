"""`role-lens demo` runs the main steps of the package once, on a real model.

    role-lens demo

It takes minutes on two cores, with the packaged model.
"""

from pathlib import Path

import role_lens as rl
from role_lens.reporting.options import ModelOptions
from role_lens.reporting.terminal import say


def run(out: Path = Path("role-lens-demo")) -> None:
    """Run the main steps of the package once, on the packaged model and with built-in data.

    Args:
        out: Folder for vectors, tables and figures: a new one, or that of an earlier demo.
    """
    from role_lens.cli.tour import Material, run_demo
    from role_lens.experiments.store import claimed
    from role_lens.files import check_folder

    check_folder(out)
    material = Material(
        rl.load_roles("builtin"), rl.load_prompts("builtin"), rl.load_questions("builtin")
    )
    model = ModelOptions().load()
    with claimed(out, {"run": "demo", **rl.scoring.model_identity(model)}):
        folder = run_demo(model, material, out, say)
    say(f"\nWritten to:\n{folder.resolve()}")
