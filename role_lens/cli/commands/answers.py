"""`role-lens answers` has the model answer the same questions in each role, and plainly.

    role-lens answers --roles economist nurse --out answers
    role-lens fit --finder answers --answers answers --out roles.safetensors

`fit` makes directions of the answers that the role judge keeps, for the roles that have some.
"""

from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.reporting.options import Common
from role_lens.reporting.terminal import say
from role_lens.writing.answer_options import SHARED_QUESTIONS, AnswerOptions
from role_lens.written_answers import FEWEST


def run(
    out: Path,
    options: Common,
    roles: tuple[str, ...] | None = None,
    ask: Path | None = None,
    writing: Annotated[AnswerOptions, tyro.conf.arg(name="")] = AnswerOptions(),
) -> None:
    """Write answers in each role, for directions that hold a role rather than a topic.

    Args:
        out: Run folder: a new one, or that of the same answers, which go on where they were
            stopped.
        roles: Names of roles. Without them, all built-in ones.
        ask: What every role is asked: a .jsonl or a .txt file. Without it, twenty questions
            that anybody can answer.
    """
    from dataclasses import replace

    from role_lens.files import check_folder

    check_folder(out)
    asked = SHARED_QUESTIONS if ask is None else tuple(rl.load_prompts(ask))
    names = tuple(rl.load_roles("builtin")) if roles is None else roles
    found = rl.writing.write_answers(options.load(), names, out, replace(writing, questions=asked))
    written = len([one for one in found if one.role is not None])
    kept = {role: 0 for role in dict.fromkeys(one.role for one in found) if role is not None}
    for one in found:
        if one.role is not None:
            kept[one.role] += one.kept
    say(f"{sum(kept.values())} of {written} answers are in their role -> {out}")
    few = ", ".join(f"{role} ({n})" for role, n in kept.items() if n < FEWEST)
    if few:
        say(f"Too few to find a direction in (fewer than {FEWEST}): {few}")
