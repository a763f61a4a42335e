"""The command line: `role-lens demo | fit | info | steer | evaluate | sweep`."""

import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import tyro

from role_lens.cli_options import ModelOptions, PatchOptions, QuestionOptions
from role_lens.demo import run_demo
from role_lens.directions import Contrast
from role_lens.errors import RoleLensError
from role_lens.evaluation.grid import Grid, SweepKind
from role_lens.evaluation.scoring import evaluate, summarize
from role_lens.evaluation.sweep import sweep
from role_lens.files import atomic_write, check_writable
from role_lens.generation import generate
from role_lens.interventions import Kind
from role_lens.models import PACKAGED_MODEL, load_model
from role_lens.patches import Patches
from role_lens.prompts import load_prompts, load_roles
from role_lens.readout.geometry import geometry_by_layer
from role_lens.role_vectors import RoleVectors

Common = Annotated[ModelOptions, tyro.conf.arg(name="")]
Patching = Annotated[PatchOptions, tyro.conf.arg(name="")]
Asking = Annotated[QuestionOptions, tyro.conf.arg(name="")]


def demo(out: Path = Path("role-lens-demo")) -> None:
    """Every part of the package once, on the packaged model, with built-in data.

    Args:
        out: output folder for vectors, tables and figures.
    """
    folder = run_demo(load_model(PACKAGED_MODEL), out, _say)
    _say(f"\nWritten to:\n{folder.resolve()}")


def fit(
    out: Path,
    options: Common,
    roles: str = "builtin",
    base: str = "builtin",
    system: str | None = None,
) -> None:
    """Fit role vectors: mean activations at every layer and post-instruction position.

    Args:
        out: the .safetensors file to write.
        roles: builtin, a folder of <role>.jsonl or <role>.txt files, or one such file.
        base: builtin, a .jsonl or a .txt file of contrast prompts.
        system: system message before every prompt; default: the chat template's own.
    """
    prompts, contrast = load_roles(roles), load_prompts(base)
    check_writable(out)
    vectors = RoleVectors.fit(options.load(), prompts, contrast, system=system)
    vectors.save(out)
    _say(f"{len(vectors.roles)} roles, {vectors.n_layers} layers -> {out}")


def info(vectors: Path, position: int = -1) -> None:
    """What a file of role vectors holds, and how separable and alike the directions are.

    Args:
        vectors: a file written by `role-lens fit`.
        position: token position for the table by layer.
    """
    loaded = RoleVectors.load(vectors)
    if position not in loaded.positions:
        raise RoleLensError(f"position {position} is not one of {list(loaded.positions)}")
    counts = loaded.role_counts.tolist()
    _say("roles: " + ", ".join(f"{r} ({n})" for r, n in zip(loaded.roles, counts, strict=True)))
    _say(f"base prompts: {loaded.base_count}")
    _say(f"layers: {loaded.n_layers}, d_model: {loaded.d_model}")
    _say(f"positions: {list(loaded.positions)}")
    for key, value in loaded.provenance.items():
        if key != "fingerprint":
            _say(f"{key}: {value}")
    table = geometry_by_layer(loaded)
    table = table[table["position"] == position].drop(columns="position")
    _say(f"\nat position {position}:")
    _say(table.to_string(index=False, float_format=lambda x: f"{x:.3f}"))


def steer(
    prompt: str,
    patching: Patching,
    options: Common,
    kind: Kind = "add",
    max_new_tokens: int = 64,
    system: str | None = None,
    temperature: float = 0.0,
    seed: int = 0,
) -> None:
    """Answer a prompt plain and steered, side by side.

    Args:
        prompt: the user's message.
        kind: what to do with the direction.
        max_new_tokens: length of the answers, in tokens.
        system: system message; default: the chat template's own.
        temperature: 0 for greedy decoding.
        seed: of the sampling.
    """
    patch = patching.patch(RoleVectors.load(patching.vectors), kind)
    model = options.load()
    texts = [
        generate(
            model,
            prompt,
            patch=used,
            max_new_tokens=max_new_tokens,
            system=system,
            temperature=temperature,
            seed=seed,
            progress=True,
        )
        for used in (None, patch)
    ]
    title = f"{kind} {patching.role}, layer {patching.layer}"
    _say(_side_by_side("plain", str(texts[0]), title, str(texts[1])))


def evaluate_command(
    patching: Patching,
    asking: Asking,
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
    asked = asking.load()
    vectors = RoleVectors.load(patching.vectors)
    patches: dict[str, Patches] = {"baseline": None}
    for kind in kinds:
        patches[f"{kind} {patching.role}@{patching.layer}"] = patching.patch(vectors, kind)
    table = evaluate(options.load(), asked, patches, **asking.asking())
    if out is not None:
        _write_table(table, out)
    _say(summarize(table).to_string(index=False, float_format=lambda x: f"{x:.4g}"))


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
        screen: exactly only this many candidates of each role, those estimated to be best.
    """
    asked = asking.load()
    loaded = RoleVectors.load(vectors)
    grid = Grid(roles, layers, positions, contrasts, kinds, coefficients)
    effects = sweep(options.load(), loaded, asked, out, grid, screen=screen, **asking.asking())
    baseline, candidates = effects.iloc[0], effects.iloc[1:]
    _say(f"baseline: accuracy {baseline['accuracy']:.4g} on {baseline['n']} questions")
    best = candidates.nlargest(10, "effect").drop(columns="n")
    _say(f"\nlargest of {len(candidates)} effects (mean change of log p(correct)):")
    _say(best.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    _say(
        "\nThe largest of many is large by chance too: test a choice on other questions.\n"
        f"Written to {out.resolve()}"
    )


COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": demo,
    "fit": fit,
    "info": info,
    "steer": steer,
    "evaluate": evaluate_command,
    "sweep": sweep_command,
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if it worked, 2 for input that can't be used, 130 if interrupted."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="role-lens",
            description="Role vectors: find them, steer with them, judge them.",
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    except RoleLensError as error:
        print(f"role-lens: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("role-lens: interrupted", file=sys.stderr)
        return 130
    return 0


def _side_by_side(left_title: str, left: str, right_title: str, right: str) -> str:
    width = max(20, (shutil.get_terminal_size((100, 24)).columns - 3) // 2)

    def column(title: str, text: str) -> list[str]:
        lines = [title, "-" * width]
        for line in text.splitlines():
            lines += textwrap.wrap(line, width) or [""]
        return lines

    columns = [column(left_title, left), column(right_title, right)]
    height = max(map(len, columns))
    padded = [lines + [""] * (height - len(lines)) for lines in columns]
    return "\n".join(f"{a:<{width}} | {b}".rstrip() for a, b in zip(*padded, strict=True))


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with atomic_write(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
