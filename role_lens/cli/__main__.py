"""The command line: `role-lens`, and those commands that make and look at role vectors."""

import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from role_lens.cli.demo import run_demo
from role_lens.cli.judge import (
    compare_command,
    evaluate_command,
    lm_eval_command,
    sweep_command,
)
from role_lens.errors import RoleLensError
from role_lens.files import check_writable
from role_lens.generation import generate
from role_lens.models import PACKAGED_MODEL, load_model
from role_lens.patches.token_masks import Kind
from role_lens.prompts import load_prompts, load_roles
from role_lens.reading.geometry import geometry_by_layer
from role_lens.reporting.options import Common, Patching
from role_lens.reporting.terminal import reported, say
from role_lens.vectors import RoleVectors

FEW = 16
"""Prompts of a role. On the packaged model, directions of 16 prompts and of 16 others have a mean
cosine of 0.73 for contrast `base` and 0.43 for `roles` (`analyses/geometry.py`)."""


def demo(out: Path = Path("role-lens-demo")) -> None:
    """Every part of the package once, on the packaged model, with built-in data.

    Args:
        out: output folder for vectors, tables and figures.
    """
    folder = run_demo(load_model(PACKAGED_MODEL), out, say)
    say(f"\nWritten to:\n{folder.resolve()}")


def fit(
    out: Path,
    options: Common,
    prompts: tuple[str, ...] = ("builtin",),
    base: str = "builtin",
    system: str | None = None,
) -> None:
    """Fit role vectors: mean activations at every layer and post-instruction position.

    Args:
        out: the .safetensors file to write.
        prompts: of the roles: builtin, a folder of <role>.jsonl or <role>.txt files, or one such
            file; several are put together.
        base: builtin, a .jsonl or a .txt file of contrast prompts.
        system: system message before every prompt; default: the chat template's own.
    """
    roles, contrast = load_roles(*prompts), load_prompts(base)
    check_writable(out)
    vectors = RoleVectors.fit(options.load(), roles, contrast, system=system)
    vectors.save(out)
    n, few = len(vectors.roles), {r: len(p) for r, p in roles.items() if len(p) < FEW}
    say(f"{n} role{'s' * (n > 1)}, {vectors.n_layers} layers -> {out}")
    if few:
        say(
            f"With fewer than {FEW} prompts a role, others would give quite another direction: "
            + ", ".join(f"{role} ({number})" for role, number in few.items())
        )
    if n == 1:
        say("A single role has contrast base only: fit others with it, such as builtin.")


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
    say("roles: " + ", ".join(f"{r} ({n})" for r, n in zip(loaded.roles, counts, strict=True)))
    say(f"base prompts: {loaded.base_count}")
    say(f"layers: {loaded.n_layers}, d_model: {loaded.d_model}")
    say(f"positions: {list(loaded.positions)}")
    for key, value in loaded.provenance.items():
        if key == "merged_with":
            value = [{k: v for k, v in other.items() if k != "fingerprint"} for other in value]
        if key != "fingerprint":
            say(f"{key}: {value}")
    table = geometry_by_layer(loaded)
    table = table[table["position"] == position].drop(columns="position").dropna(axis=1, how="all")
    say(f"\nat position {position}:")
    say(table.to_string(index=False, float_format=lambda x: f"{x:.3f}"))


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
    patches = patching.patches(RoleVectors.load(patching.vectors), (kind,))
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
        for used in patches.values()
    ]
    title = f"{kind} {patching.role}, layer {patching.layer}"
    say(_side_by_side("plain", str(texts[0]), title, str(texts[1])))


COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": demo,
    "fit": fit,
    "info": info,
    "steer": steer,
    "evaluate": evaluate_command,
    "sweep": sweep_command,
    "compare": compare_command,
    "lm-eval": lm_eval_command,
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if it worked, 2 for input that can't be used, 130 if interrupted."""
    return reported(
        lambda: tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="role-lens",
            description="Role vectors: find them, steer with them, judge them.",
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    )


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


if __name__ == "__main__":
    sys.exit(main())
