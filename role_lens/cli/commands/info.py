"""`role-lens info` shows what a file of role vectors holds.

    role-lens info --vectors roles.safetensors

It needs no model.
"""

from pathlib import Path

import role_lens as rl
from role_lens.errors import RoleLensError
from role_lens.reporting.provenance import readable
from role_lens.reporting.terminal import say


def run(vectors: Path, position: int = -1) -> None:
    """Show what a file of role vectors holds, and how separable and how alike the directions are.

    Args:
        vectors: A file written by `role-lens fit`.
        position: Token position of the table by layer; -1 is the last token of the formatted
            prompt.
    """
    loaded = rl.RoleVectors.load(vectors)
    if position not in loaded.positions:
        raise RoleLensError(
            f"position {position} is out of range: the vectors have {list(loaded.positions)}"
        )
    counts = loaded.role_counts.tolist()
    say("roles: " + ", ".join(f"{r} ({n})" for r, n in zip(loaded.roles, counts, strict=True)))
    say(f"base prompts: {loaded.base_count}")
    say(f"contrasts: {', '.join(loaded.contrasts)}")
    say(f"layers: {loaded.n_layers}, d_model: {loaded.d_model}")
    say(f"positions: {list(loaded.positions)}")
    for key, value in readable(loaded.provenance).items():
        say(f"{key}: {value}")
    table = rl.reading.geometry_by_layer(loaded)
    table = table[table["position"] == position].drop(columns="position").dropna(axis=1, how="all")
    say(f"\nat position {position}:")
    say(table.to_string(index=False, float_format=lambda x: f"{x:.3f}"))
