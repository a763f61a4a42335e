"""Commands that judge role vectors: `role-lens evaluate | sweep | compare | lm-eval`."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro

from role_lens.directions import Contrast
from role_lens.errors import RoleLensError
from role_lens.experiments.candidates import Grid, SweepKind
from role_lens.experiments.comparison import compare
from role_lens.experiments.judgement import tally
from role_lens.experiments.selection import Objective
from role_lens.experiments.sweep import sweep
from role_lens.files import as_path, check_writable, write_table
from role_lens.interop.lm_eval import evaluate_tasks
from role_lens.patches.token_masks import Kind
from role_lens.prompts import load_prompts, load_roles
from role_lens.questions.question import (
    NumericQuestion,
    Question,
    load_numeric_questions,
)
from role_lens.reporting.figures import plot_comparison
from role_lens.reporting.options import AnswerOptions, Common, Patching, QuestionOptions
from role_lens.reporting.terminal import say
from role_lens.scoring.evaluate import evaluate, summarize
from role_lens.vectors import RoleVectors

Asking = Annotated[QuestionOptions, tyro.conf.arg(name="")]
Answering = Annotated[AnswerOptions, tyro.conf.arg(name="")]

SHOWN = (
    *("role", "domain", "contrast", "layer", "position", "coefficient", "n", "baseline_accuracy"),
    *("persona", "add", "low", "high", "random_low", "random_high"),
    *("ablate", "shared_matched", "specific_matched", "p_helps_adjusted", "verdict"),
)
"""Columns of a comparison that are printed; all are in its files."""


def evaluate_command(
    patching: Patching,
    asking: Asking,
    answering: Answering,
    options: Common,
    kinds: tuple[Kind, ...] = ("add", "ablate"),
    out: Path | None = None,
) -> None:
    """Score questions without and with a role vector; accuracy beside chance.

    Args:
        kinds: what to do with the direction; each is one row.
        out: write the table, one row per patch and question: .csv or .parquet.
    """
    if out is not None:
        if out.suffix not in (".csv", ".parquet"):
            raise RoleLensError(f"the table can be written as .csv or .parquet, not {out}")
        check_writable(out)
    asked: list[Question] | list[NumericQuestion] = (
        load_numeric_questions(asking.questions, domain=asking.domain)
        if answering.numeric
        else asking.load()
    )
    if answering != AnswerOptions() and asking.scoring != "generate":
        raise RoleLensError("--numeric, --style and the like are for --scoring generate")
    patches = patching.patches(RoleVectors.load(patching.vectors), kinds)
    table = evaluate(
        options.load(), asked, patches, generation=answering.generation(), **asking.asking()
    )
    if out is not None:
        write_table(out, table)
    say(summarize(table).to_string(index=False, float_format=lambda x: f"{x:.4g}"))


def sweep_command(
    vectors: Path,
    out: Path,
    asking: Asking,
    options: Common,
    roles: tuple[str, ...] | None = None,
    layers: tuple[int, ...] | None = None,
    positions: tuple[int, ...] | None = None,
    contrasts: tuple[Contrast, ...] = ("base",),
    kinds: tuple[SweepKind, ...] = ("add",),
    coefficients: tuple[float, ...] = (1.0,),
    screen: int | None = None,
) -> None:
    """Score every role, layer and position; a run that was stopped goes on where it was.

    Args:
        vectors: a file written by `role-lens fit`.
        out: folder for the results.
        roles: default: all in the file.
        layers: default: all.
        positions: default: all.
        contrasts: role minus base prompts, or role minus the mean of the other roles.
        kinds: what to do with the directions.
        coefficients: for add: how many times the raw direction.
        screen: compute exactly only this many directions of each role, at all coefficients: those
            estimated to be best.
    """
    asked = asking.load()
    loaded = RoleVectors.load(vectors)
    grid = Grid(roles, layers, positions, contrasts, kinds, coefficients)
    effects = sweep(options.load(), loaded, asked, out, grid, screen=screen, **asking.asking())
    baseline, candidates = effects.iloc[0], effects.iloc[1:]
    say(f"baseline: accuracy {baseline['accuracy']:.4g} on {baseline['n']} questions")
    best = candidates.nlargest(10, "effect").drop(columns="n")
    say(f"\nlargest of {len(candidates)} effects (mean change of log p(correct)):")
    say(best.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    say(
        "\nThe largest of many is large by chance too: test a choice on other questions.\n"
        f"Written to {as_path(out).resolve()}"
    )


def compare_command(
    vectors: Path,
    out: Path,
    asking: Asking,
    options: Common,
    roles: tuple[str, ...] | None = None,
    validation: str | None = None,
    domains: dict[str, str] | None = None,
    prompts: tuple[str, ...] | None = None,
    base: str | None = None,
    layers: tuple[int, ...] | None = None,
    positions: tuple[int, ...] | None = None,
    contrasts: tuple[Contrast, ...] | None = None,
    coefficients: tuple[float, ...] = (1.0,),
    screen: int | None = 10,
    objective: Objective = "logprob",
    max_kl: float | None = 0.1,
    leave_out_last: float | None = 0.2,
    n_random: int = 20,
    n_shuffled: int = 5,
    max_validation: int | None = None,
    max_questions: int | None = None,
    max_off_domain: int | None = None,
    seed: int = 0,
) -> None:
    """Does a role vector help? Chosen on some questions, tested on others, beside its controls.

    Args:
        vectors: a file written by `role-lens fit`.
        out: folder for the results; a run that was stopped goes on there.
        roles: default: all in the file whose domain has questions.
        validation: questions that choose (builtin, mmlu, a file or folder); default: half of the
            questions.
        domains: role and its domain, pair after pair, beside those of the paper.
        prompts: the role prompts of the fit (builtin, folders or files), for directions from
            shuffled labels; default: the built-in ones if it was these.
        base: the base prompts of the fit; default: the built-in ones.
        layers: to choose from; default: all but the last fifth.
        positions: to choose from; default: all.
        contrasts: to choose from: role minus base prompts, or minus the other roles' mean; default:
            both, if there are several roles.
        coefficients: to choose from: how many times the raw direction.
        screen: compute exactly only this many directions of each role, those estimated to be best.
        objective: choose by mean log p(correct), or by accuracy.
        max_kl: largest KL divergence on neutral prompts that a choice may have; None: no limit.
        leave_out_last: share of the layers, the last ones, not to choose from; unless layers are
            named.
        n_random: random directions in the null band, at least 20.
        n_shuffled: directions from shuffled labels.
        max_validation: most questions of a domain that choose, at least 20.
        max_questions: most test questions of a role's own domain, at least 20.
        max_off_domain: most test questions of every other domain, at least 20; 0: none.
        seed: of splits and random directions.
    """
    asked = asking.load()
    loaded = RoleVectors.load(vectors)
    own_prompts = prompts is not None or base is not None
    table = compare(
        options.load(),
        loaded,
        asked,
        out,
        validation=asking.load_validation(validation),
        domains=domains,
        prompts=load_roles(*prompts or ()) if own_prompts else None,
        base=load_prompts(base or "builtin") if own_prompts else None,
        grid=Grid(roles, layers, positions, contrasts or loaded.contrasts, ("add",), coefficients),
        screen=screen,
        objective=objective,
        max_kl=max_kl,
        leave_out_last=leave_out_last,
        n_random=n_random,
        n_shuffled=n_shuffled,
        max_validation=max_validation,
        max_questions=max_questions,
        max_off_domain=max_off_domain,
        seed=seed,
        **asking.asking(),
    )
    write_table(out / "comparison.csv", table)
    plot_comparison(table, out / "comparison.png")
    own = table[table["in_domain"]]
    shown = [name for name in SHOWN if name in own.columns]
    say(own[shown].to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep="-"))
    counts = tally(pd.read_parquet(out / "effects.parquet"))
    say("\nHow many are helped and hurt, p adjusted for all of a line:")
    say(counts.to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep="-"))
    say(
        "\nEffects are mean changes of log p(correct), in nats; verdict, interval and p are of the "
        f"addition.\nOther domains and all conditions: {as_path(out).resolve()}"
    )


def lm_eval_command(
    patching: Patching,
    options: Common,
    tasks: tuple[str, ...],
    out: Path,
    kinds: tuple[Kind, ...] = ("add", "ablate"),
    include_path: Path | None = None,
    batch_size: int = 8,
    limit: int | None = None,
    num_fewshot: int | None = None,
    apply_chat_template: bool = False,
) -> None:
    """Evaluate lm-eval tasks without and with a role vector.

    Args:
        tasks: names of lm-eval tasks, groups or tags.
        out: folder for lm-eval's results and every sample; a run that was stopped goes on there.
        kinds: what to do with the direction.
        include_path: folder with task files of one's own.
        batch_size: sequences at once.
        limit: only this many samples of each task.
        num_fewshot: examples before each sample; default: the task's own.
        apply_chat_template: put prompts into the chat template.
    """
    from lm_eval.utils import make_table

    patches = patching.patches(RoleVectors.load(patching.vectors), kinds)
    found = evaluate_tasks(
        options.load(),
        tasks,
        patches,
        out=out,
        include_path=include_path,
        batch_size=batch_size,
        limit=limit,
        num_fewshot=num_fewshot,
        apply_chat_template=apply_chat_template,
    )
    for name, results in found.results.items():
        say(f"{name}\n{make_table(results)}")
    if len(found.effects):
        say("Paired by sample; p is of each line alone:")
        say(found.effects.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    say(f"\nWritten to {as_path(out).resolve()}")
