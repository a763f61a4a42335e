"""`role-lens sweep` scores questions with every candidate direction.

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
from role_lens.scoring.asking import check_likelihood


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
        out: Run folder: a new one, or that of the same sweep, which goes on where it was stopped.
    """
    from role_lens.experiments.candidates import candidates_of
    from role_lens.experiments.settings import settings_of
    from role_lens.experiments.store import open_store
    from role_lens.experiments.sweeps import sweep_identity
    from role_lens.files import as_path, check_folder

    check_folder(out)
    how = asking.asking
    check_likelihood(how)
    questions = asking.load()
    loaded = rl.RoleVectors.load(vectors)
    candidates_of(loaded, grid)  # may refuse, before a model is loaded
    model = options.load()
    loaded.check(model)
    asked = rl.scoring.Asker(model, how).ask(questions)
    # Refuses that of another grid too.
    open_store(out, {**sweep_identity(asked, loaded), **settings_of(grid)})
    effects = rl.experiments.sweep_asked(asked, loaded, out, grid)
    baseline, candidates = effects.iloc[0], effects.iloc[1:]
    say(f"baseline: accuracy {baseline['accuracy']:.4g} on {baseline['n']} questions")
    best = candidates.nlargest(10, "effect").drop(columns="n")
    say(f"\nlargest of {len(candidates)} effects (mean change of the margin):")
    say(best.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    say(
        "\nThe largest of many is large by chance too: test a choice on other questions.\n"
        f"Written to {as_path(out).resolve()}"
    )
