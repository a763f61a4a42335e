"""`role-lens compare` tests whether role vectors, or a patch, do more than random directions.

    role-lens compare --vectors roles.safetensors --roles economist --out economist-verdict
    role-lens compare --patch nurse.safetensors --domain medicine --out nurse-verdict

The run folder holds the verdict (`comparison.csv` and its figure, or `patch.csv`), and all effects.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

import role_lens as rl
from role_lens.errors import RoleLensError
from role_lens.experiments.options import Exam, Grid, Selection, TestPlan
from role_lens.reporting.options import Common, QuestionOptions
from role_lens.reporting.terminal import say
from role_lens.scoring.asking import check_likelihood

if TYPE_CHECKING:
    import pandas as pd

SHOWN = (
    *("role", "domain", "contrast", "layer", "position", "n", "baseline", "add", "persona"),
    *("excess", "excess_low", "excess_high", "p_more", "p_less", "verdict"),
)
"""Columns of a comparison that are printed; all are in its files."""


SHOWN_OF_PATCH = (
    *("domain", "n", "baseline", "effect", "excess", "excess_low", "excess_high", "p_more"),
    *("p_less", "verdict"),
)
"""The same, where a patch is judged."""


def run(
    out: Path,
    asking: Annotated[QuestionOptions, tyro.conf.arg(name="")],
    options: Common,
    vectors: Path | None = None,
    patch: Path | None = None,
    validation: str | None = None,
    role_domains: dict[str, str] | None = None,
    prompts: tuple[str, ...] | None = None,
    base: str | None = None,
    grid: Annotated[Grid, tyro.conf.arg(name="")] = Selection.grid,
    selection: Annotated[Selection, tyro.conf.arg(name="")] = Selection(),
    plan: Annotated[TestPlan, tyro.conf.arg(name="")] = TestPlan(),
) -> None:
    """Test whether role vectors help (chosen on some questions, tested on others, beside controls),
    or a patch.

    Args:
        out: Run folder: a new one, or that of the same comparison, which goes on where it was
            stopped.
        vectors: A file written by `role-lens fit`.
        patch: In the place of --vectors, a file written by `role-lens export` or `Patch.save`, of
            any kind. It is tested as it is, against the same patch turned at random, on all
            questions: none chooses, so they must have had no part in making it.
        validation: Questions on which directions are chosen: builtin, mmlu, a file or folder.
            Without it, directions are chosen on half of the questions and tested on the other
            half.
        role_domains: A role and its domain, pair after pair (beekeeper plants), beside those of the
            paper.
        prompts: Role prompts of the fit (builtin, folders or files), for directions from shuffled
            labels. Without it, the built-in ones if the fit was on these.
        base: Base prompts of the fit. Without it, the built-in ones.
    """
    from role_lens.experiments.dividing import check_exam
    from role_lens.files import as_path, check_folder

    selection = replace(selection, grid=grid)
    out = as_path(out)
    check_folder(out)
    how = asking.asking
    check_likelihood(how)
    if (patch is None) == (vectors is None):
        raise RoleLensError("name --vectors, or a --patch in their place")
    if vectors is None:
        assert patch is not None
        choosing = (validation, role_domains, prompts, base)
        if any(one is not None for one in choosing) or selection != Selection():
            raise RoleLensError(
                "nothing is chosen of a patch: leave out options of choosing, such as --validation "
                "and --roles"
            )
        patches = rl.patches.read_patches(patch).patches
        exam = Exam(asking.load(), asking=how)
        _show_patch(rl.experiments.judge_patch(options.load(), patches, exam, out, plan), out)
        return
    asked, chosen_by = asking.load(), asking.load_validation(validation)
    exam = Exam(asked, chosen_by, how, role_domains or {})
    loaded = rl.RoleVectors.load(vectors)
    if prompts is not None or base is not None:
        roles, base_prompts = rl.load_roles(*prompts or ()), rl.load_prompts(base or "builtin")
        loaded = loaded.with_prompts(roles, base_prompts)
    check_exam(loaded, exam, selection, plan)  # may refuse, before a model is loaded
    table = rl.compare(options.load(), loaded, exam, out, selection, plan)
    _show(table, out, plan.bound)


def _show_patch(table: "pd.DataFrame", out: Path) -> None:
    from role_lens.files import write_table

    write_table(out / "patch.csv", table)
    shown = table[list(SHOWN_OF_PATCH)]
    say(shown.to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep="-"))
    say(
        "\nEffects are mean changes of the margin: how far the right option stands above the wrong "
        "ones, in units of their spread. Excess is the effect of the patch minus the mean of the "
        f"same patch turned at random.\nAll columns and conditions: {out.resolve()}"
    )


def _show(table: "pd.DataFrame", out: Path, bound: float) -> None:
    import pandas as pd

    from role_lens.files import write_table

    write_table(out / "comparison.csv", table)
    rl.reporting.plot_comparison(table, out / "comparison.png", bound=bound)
    own = table[table["in_domain"]]
    shown = [name for name in SHOWN if name in own.columns]
    say(own[shown].to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep="-"))
    effects = pd.read_parquet(out / "effects.parquet")
    together = rl.experiments.pooled(effects)
    if len(together):
        say("\nAll roles together, against their random directions:")
        say(together.to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep="-"))
    positive = pd.read_parquet(out / "positive.parquet")
    if len(positive):
        say("\nWhat must be found, if anything can be:")
        say(positive.to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep="-"))
    say(
        "\nEffects are mean changes of the margin: how far the right option stands above the wrong "
        "ones, in units of their spread. Excess is the effect of the addition minus the mean of "
        f"its random directions.\nOther domains and all conditions: {out.resolve()}"
    )
