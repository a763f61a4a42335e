"""`role-lens push` puts role vectors, a patch or a baked model on the Hugging Face hub.

    role-lens push roles.safetensors user/roles --comparison verdict
    role-lens push nurse.safetensors user/nurse --dry-run nurse-on-the-hub

A card is made for it: what it is, what it does, how to load it.
"""

from pathlib import Path
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.interop.push_options import PushOptions
from role_lens.reporting.terminal import say


def run(
    source: Annotated[Path, tyro.conf.Positional],
    repo: Annotated[str, tyro.conf.Positional],
    options: Annotated[PushOptions, tyro.conf.arg(name="")] = PushOptions(),
    dry_run: Path | None = None,
) -> None:
    """Put role vectors, a patch or a baked model on the Hugging Face hub, with a card.

    Args:
        source: A file written by `role-lens fit` or `export`, or a folder written by `bake`.
        repo: The repository there, such as user/nurse.
        dry_run: A new folder, to which is written what would be uploaded; nothing is sent.
    """
    if dry_run is None:
        say(f"{source} -> {rl.interop.push(source, repo, options)}")
        return
    contents = rl.interop.contents_for(source, repo, options)
    say(f"{source} -> {rl.interop.written(contents, dry_run)}, and nothing was sent")
