"""`role-lens demo`: every part of the package once.

    role-lens demo

It takes minutes on two cores, with the packaged model.
"""

from pathlib import Path

import role_lens as rl
from role_lens.reporting.options import ModelOptions
from role_lens.reporting.terminal import say


def run(out: Path = Path("role-lens-demo")) -> None:
    """Show every part of the package once, on the packaged model and with built-in data.

    Args:
        out: Folder for vectors, tables and figures.
    """
    from role_lens.cli.tour import Material, run_demo
    from role_lens.files import check_folder

    check_folder(out)

    material = Material(
        rl.load_roles("builtin"), rl.load_prompts("builtin"), rl.load_questions("builtin")
    )
    folder = run_demo(ModelOptions().load(), material, out, say)
    say(f"\nWritten to:\n{folder.resolve()}")
