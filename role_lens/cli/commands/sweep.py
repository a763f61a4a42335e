"""`role-lens sweep`: scores of every role, layer and position.

    role-lens sweep --vectors roles.safetensors --roles economist --domain econ --out econ-sweep

What is finished is kept in the run folder; `role_lens.read_sweep` reads it.
"""

from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.experiments.options import Grid
from role_lens.reporting.options import Common, QuestionOptions
from role_lens.reporting.terminal import say


def run(
    vectors: Path,
    out: Path,
    asking: Annotated[QuestionOptions, tyro.conf.arg(name="")],
    options: Common,
    grid: Annotated[Grid, tyro.conf.arg(name="")] = Grid(),
) -> None:
    """Score every candidate direction: all roles, layers and positions. A stopped run goes on.

    Args:
        vectors: A file written by `role-lens fit`.
        out: Run folder; a run that was stopped goes on there.
    """
    from role_lens.experiments.candidates import candidates_of
    from role_lens.files import as_path, check_folder

    check_folder(out)
    asked, how = asking.load(), asking.asking
    rl.scoring.METHODS.check(how.scoring)
    loaded = rl.RoleVectors.load(vectors)
    candidates_of(loaded, grid)  # may refuse, before a model is loaded
    effects = rl.sweep(options.load(), loaded, asked, out, grid, how)
    baseline, candidates = effects.iloc[0], effects.iloc[1:]
    say(f"baseline: accuracy {baseline['accuracy']:.4g} on {baseline['n']} questions")
    best = candidates.nlargest(10, "effect").drop(columns="n")
    say(f"\nlargest of {len(candidates)} effects (mean change of log p(correct)):")
    say(best.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    say(
        "\nThe largest of many is large by chance too: test a choice on other questions.\n"
        f"Written to {as_path(out).resolve()}"
    )
