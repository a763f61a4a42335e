"""`role-lens tune` finds how strongly a patch can be put on before the texts break.

    role-lens tune --vectors roles.safetensors --role lawyer --layer 22 --contrast roles --out tuned

It writes the whole curve as a table and a figure, and prints texts at the strength that it chose.
"""

import difflib
from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.reporting.options import Common, PatchOptions
from role_lens.reporting.terminal import say
from role_lens.tuning.options import TuneOptions

_SHOWN = 2  # prompts whose texts are printed
_COLUMNS = {
    "strength": "strength",
    "rank": "role's rank",
    "aim_se": "+-",
    "kl": "KL",
    "kl_worst": "worst KL",
    "repetition": "repetition",
    "fluency_loss": "fluency loss",
    "cut_off": "cut off",
    "broken": "broken",
}


def run(
    out: Path,
    patching: Annotated[PatchOptions, tyro.conf.arg(name="")],
    options: Common,
    aim: str | None = None,
    tuning: Annotated[TuneOptions, tyro.conf.arg(name="")] = TuneOptions(),
) -> None:
    """Find the strength of a patch that brings most of a role and breaks nothing.

    Args:
        out: Run folder: a new one, or that of the same patch, which goes on where it was stopped.
        aim: The role whose rank is the aim. Without it, that of --role.
    """
    from role_lens.files import check_folder
    from role_lens.patches import write_patches
    from role_lens.reporting import plot_strengths
    from role_lens.tuning.strengths import tunable

    check_folder(out)
    role = aim or patching.role
    if role is None:
        raise rl.RoleLensError("--aim is missing: name the role that the texts are to show")
    saved = patching.saved()
    patches = tunable(saved.patches)
    named = {str(one) for one in (patching.role, saved.about.get("role")) if one}
    known = {rl.prompts.role_name(one) for one in (*rl.load_roles("builtin"), *named)}
    if rl.prompts.role_name(role) not in known:
        near = difflib.get_close_matches(role, known, n=1)
        hint = f": did you mean {near[0]}?" if near else f": expected one of {sorted(known)}"
        raise rl.RoleLensError(f"--aim {role} is no role that is known{hint}")
    tuned = rl.tuning.tune(options.load(), patches, out, role=role, options=tuning)
    plot_strengths(tuned.table, out / "strengths.png", role=role)
    shown = tuned.table.assign(rank=-tuned.table["aim"])[list(_COLUMNS)].rename(columns=_COLUMNS)
    say(shown.to_string(index=False, float_format=lambda number: f"{number:.3g}"))
    ended = f"a larger one breaks {tuned.ended_by}" if tuned.ended_by else "no guard was broken"
    if tuned.strength is None:
        say(
            "\nNo strength is chosen: none within the guards brings more of the role than no patch "
            f"({ended}). Try a smaller --start, another layer or contrast, or lift a guard."
        )
        return
    chosen = tuned.table[tuned.table["chosen"]].iloc[0]
    say(
        f"\nChosen: strength {tuned.strength:g} of the patch as it was given; {ended}. The role's "
        f"mean rank is {-chosen['aim']:.1f} +- {chosen['aim_se']:.1f}, and without the patch "
        f"{-tuned.table['aim'].iloc[0]:.1f}."
    )
    write_patches(out / "tuned.safetensors", tuned.patches, about={"role": role})
    texts = tuned.texts[tuned.texts["strength"].isin([0.0, tuned.strength])]
    for prompt, some in list(texts.groupby("prompt", sort=False))[-_SHOWN:]:
        say(f"\n{prompt}")
        for strength, text in zip(some["strength"], some["text"].astype(str), strict=True):
            say(f"  {f'at {strength:g}' if strength else 'plain'}: {text}")
    say(f"\nAll texts and the curve: {out.resolve()}")
    say(f"Steer with it: role-lens steer --patch {out / 'tuned.safetensors'} --prompt ...")
