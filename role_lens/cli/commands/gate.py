"""`role-lens gate` puts a patch behind a gate, so that it acts at some prompts alone.

    role-lens gate --patch tuned/tuned.safetensors --vectors roles.safetensors --role lawyer \
        --layer 22 --out gated.safetensors

It says at which prompts that had no part in finding the threshold the gate opens.
"""

from pathlib import Path

import role_lens as rl
from role_lens.direction_spec import DirectionSpec
from role_lens.errors import RoleLensError
from role_lens.reporting.options import Common
from role_lens.reporting.terminal import say

_JUDGED = ("verdict", "verdicts", "conditions")


def run(
    patch: Path,
    vectors: Path,
    role: str,
    layer: int,
    out: Path,
    options: Common,
    position: int = DirectionSpec.position,
    contrast: str = DirectionSpec.contrast,
    opening: str | None = None,
    closed: str | None = None,
) -> None:
    """Let a patch act only at prompts that lie far enough along a role's direction.

    Args:
        patch: A file written by `role-lens export`, `role-lens tune` or `Patch.save`.
        vectors: A file written by `role-lens fit`, whose direction the prompts are projected on.
        role: One of the roles of the vectors.
        layer: The layer whose input is projected, counted from 0.
        out: The file of the patch behind its gate, which steer, evaluate and others take.
        position: The token that is projected, counted from the end of the formatted prompt.
        contrast: What the role is set against in the direction.
        opening: A file of prompts at which the patch is to act. Without it, the role's built-in
            prompts.
        closed: A file of prompts at which it isn't. Without it, the built-in base prompts and those
            of all other roles.
    """
    from role_lens.files import check_writable
    from role_lens.patches import read_patches, write_patches

    check_writable(out)
    saved = read_patches(patch)
    if any(one.gate is not None for one in saved.patches):
        raise RoleLensError(f"{patch} is behind a gate already: take the patch as it was before")
    found = rl.RoleVectors.load(vectors)
    direction = found.direction(role, layer=layer, position=position, contrast=contrast)
    name = found.roles[found.role_index(role)]
    wanted, others = _opening(name, opening), _closed(name, closed)
    # Every second prompt finds the threshold, and the others show how well it does.
    for which, prompts in {name: wanted, **others}.items():
        if len(prompts) < 2:
            raise RoleLensError(f"{which}: a gate needs at least 2 prompts, got {len(prompts)}")
    model = options.load()
    found.check(model)
    for one in saved.patches:
        one.check(model)
    gate = rl.Gate.fit(
        model,
        direction,
        layer=layer,
        position=position,
        opening=wanted[::2],
        closed=[prompt for prompts in others.values() for prompt in prompts[::2]],
    )
    kept = {which: prompts[1::2] for which, prompts in others.items()}
    hits = gate.rates(model, {name: wanted[1::2]})
    alarms = gate.rates(model, kept).sort_values("opens", ascending=False)
    n = int(alarms["n"].sum())
    share = float((alarms["opens"] * alarms["n"]).sum()) / n
    say(alarms.to_string(index=False, float_format=lambda number: f"{number:.3g}"))
    hit = float(hits["opens"].iloc[0])
    n_hits = int(hits["n"].iloc[0])
    say(
        f"\n{gate}: opens at {hit:.0%} of {n_hits} prompts of {name}, and by false alarm at "
        f"{share:.0%} of {n} others (above), none of which had a part in finding the threshold. "
        "If the direction was made from these prompts, that flatters it: give others with "
        "--opening and --closed."
    )
    # A verdict on the patch is none on the patch behind a gate.
    about = {key: value for key, value in saved.about.items() if key not in _JUDGED}
    about["gate"] = {"role": name, "contrast": contrast, "hits": hit, "false_alarms": share}
    write_patches(out, [one.behind(gate) for one in saved.patches], about)
    say(f"The patch behind its gate: {out}")


def _opening(role: str, source: str | None) -> list[str]:
    """Prompts at which the patch is to act."""
    if source is not None:
        return rl.load_prompts(source)
    built_in = rl.load_roles("builtin")
    if role not in built_in:
        raise RoleLensError(f"there are no built-in prompts of {role!r}: give some with --opening")
    return list(built_in[role])


def _closed(role: str, source: str | None) -> dict[str, list[str]]:
    """Prompts at which it is not, by group."""
    if source is not None:
        return {Path(source).stem: rl.load_prompts(source)}
    others = {name: list(some) for name, some in rl.load_roles("builtin").items() if name != role}
    return {"base": rl.load_prompts("builtin"), **others}
