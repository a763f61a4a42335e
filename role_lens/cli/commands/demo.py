"""`role-lens demo`: every part of the package once."""

from pathlib import Path

import role_lens as rl
from role_lens.reporting.options import ModelOptions
from role_lens.reporting.terminal import say


def run(out: Path = Path("role-lens-demo")) -> None:
    """Every part of the package once, on the packaged model, with built-in data.

    Args:
        out: output folder for vectors, tables and figures.
    """
    from role_lens.cli.tour import Material, run_demo

    material = Material(
        rl.load_roles("builtin"), rl.load_prompts("builtin"), rl.load_questions("builtin")
    )
    folder = run_demo(ModelOptions().load(), material, out, say)
    say(f"\nWritten to:\n{folder.resolve()}")
