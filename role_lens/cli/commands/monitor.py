"""`role-lens monitor` follows a conversation along role directions, turn by turn.

    role-lens monitor --conversation talk.json --vectors roles.safetensors --roles nurse \
        --layer 15 --out watched
"""

from pathlib import Path

import role_lens as rl
from role_lens.direction_spec import DirectionSpec
from role_lens.reporting.options import Common
from role_lens.reporting.terminal import say

_SHOWN = 60  # characters of a text


def run(
    conversation: Path,
    vectors: Path,
    roles: tuple[str, ...],
    layer: int,
    out: Path,
    options: Common,
    position: int = DirectionSpec.position,
    contrast: str = DirectionSpec.contrast,
) -> None:
    """Follow a conversation along role directions, turn by turn.

    Args:
        conversation: A JSON file of messages with role and content, as `role-lens chat` writes it.
        vectors: A file written by `role-lens fit`.
        roles: On whose directions every turn is projected.
        layer: The layer whose input is projected, counted from 0.
        out: A folder for the table and the figure.
        position: The token that the directions were read from.
        contrast: What the roles are set against in the directions.
    """
    from role_lens.files import check_folder, make_folder, write_table
    from role_lens.reporting import plot_conversations

    check_folder(out)
    talk = rl.Conversation.load(conversation)
    found = rl.RoleVectors.load(vectors)
    directions = {
        found.roles[found.role_index(role)]: found.direction(
            role, layer=layer, position=position, contrast=contrast
        )
        for role in roles
    }
    model = options.load()
    found.check(model)
    table = rl.reading.monitor(model, talk, directions, layer=layer)
    make_folder(out)
    write_table(out / "turns.parquet", table)
    plot_conversations({conversation.stem: table}, out / "turns.png", list(directions))
    shown = table.assign(text=table["text"].str.replace(r"\s+", " ", regex=True).str[:_SHOWN])
    columns = ["turn", "speaker", *directions, "text"]
    say(shown[columns].to_string(index=False, float_format=lambda number: f"{number:.2f}"))
    say(f"\nTable and figure: {out.resolve()}")
