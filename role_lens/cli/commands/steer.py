"""`role-lens steer` answers a prompt without and with a role vector, side by side.

    role-lens steer --vectors roles.safetensors --role nurse --layer 22 --prompt "Any plans today?"

Each kind of patch (`--kinds`, by default an addition) has a column of its own.
"""

import shutil
import textwrap
from collections.abc import Sequence
from typing import Annotated

import tyro

import role_lens as rl
from role_lens.errors import RoleLensError
from role_lens.reporting.options import Common, PatchOptions
from role_lens.reporting.terminal import say


def run(
    prompt: str,
    patching: Annotated[PatchOptions, tyro.conf.arg(name="")],
    options: Common,
    max_new_tokens: int = 64,
    system: str | None = None,
    temperature: float = 0.0,
    seed: int = 0,
) -> None:
    """Answer a prompt plain and steered, side by side.

    Args:
        prompt: The user's message.
        max_new_tokens: Longest answer, in tokens.
        system: System message. Without one, the chat template's own.
        temperature: 0 for greedy decoding; above, tokens are sampled.
        seed: Seed of the sampling.
    """
    if not prompt.strip():
        raise RoleLensError(f"expected a prompt, got {prompt!r}")
    sampling = rl.Sampling(temperature, seed)
    patches = patching.patches()
    model = options.load()
    for several in patches.values():
        for patch in several:
            patch.check(model)  # before the long part
    texts = [
        rl.generate(
            model,
            prompt,
            patch=patch,
            max_new_tokens=max_new_tokens,
            system=system,
            sampling=sampling,
            progress=True,
        )
        for patch in patches.values()
    ]
    titles = ["plain", *list(patches)[1:]]
    say(_side_by_side(titles, [str(text) for text in texts]))


def _side_by_side(titles: Sequence[str], texts: Sequence[str]) -> str:
    n = len(titles)
    width = max(20, (shutil.get_terminal_size((100, 24)).columns - 3 * (n - 1)) // n)

    def column(title: str, text: str) -> list[str]:
        lines = [*textwrap.wrap(title, width), "-" * width]
        for line in text.splitlines():
            lines += textwrap.wrap(line, width) or [""]
        return lines

    columns = [column(*one) for one in zip(titles, texts, strict=True)]
    # Titles of different height end on one line.
    rule = max(lines.index("-" * width) for lines in columns)
    columns = [[""] * (rule - lines.index("-" * width)) + lines for lines in columns]
    height = max(map(len, columns))
    rows = zip(*(lines + [""] * (height - len(lines)) for lines in columns), strict=True)
    return "\n".join(" | ".join(f"{cell:<{width}}" for cell in row).rstrip() for row in rows)
