"""`role-lens fit` makes role vectors from prompts and writes them to a file.

    role-lens fit --out roles.safetensors
    role-lens fit --prompts builtin my_roles --out mine.safetensors

All other commands but `demo` read this file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import role_lens as rl
from role_lens.reporting.options import Common
from role_lens.reporting.terminal import say

FEW = 16
"""If a role has fewer prompts, `fit` says so. On the packaged model, directions of 16 prompts
and of 16 others have a mean cosine of 0.73 for contrast `base` and 0.43 for `roles`
(`analyses/geometry.py`)."""


def run(
    out: Path,
    options: Common,
    prompts: tuple[str, ...] = ("builtin",),
    base: str = "builtin",
    finder: str = "means",
    layers: tuple[int, ...] | None = None,
    answers: Path | None = None,
    sae: Path | None = None,
    system: str | None = None,
) -> None:
    """Fit role vectors: a direction for every role, layer and post-instruction token, into a file.

    Args:
        out: The .safetensors file to write.
        prompts: Prompts of the roles: builtin, a folder of <role>.jsonl or <role>.txt files, or one
            such file; several are put together.
        base: Base prompts, which roles are set against: builtin, a .jsonl or a .txt file.
        finder: How more directions are found: a file in `role_lens.finders`. Differences of means
            are there in any case.
        layers: Layers at which another finder looks for directions. Without them, all, which may
            take long.
        answers: A folder written by `role-lens answers`, for finders `answers` and `learned`.
        sae: A folder of SAELens, for finder `sae`.
        system: System message before every prompt. Without one, the chat template's own.
    """
    from role_lens.files import check_writable

    used = _finder(finder, {"layers": layers, "answers": answers, "sae": sae})
    roles, base_prompts = rl.load_roles(*prompts), rl.load_prompts(base)
    check_writable(out)
    vectors = rl.RoleVectors.fit(options.load(), roles, base_prompts, finder=used, system=system)
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


def _finder(name: str, options: Mapping[str, Any]) -> "rl.finders.Finder":
    """The finder, with those options that are given."""
    made = rl.finders.FINDERS[name]
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if not hasattr(made, option):
            raise rl.RoleLensError(f"finder {name!r} takes no --{option}: leave it out")
    return made(**given)
