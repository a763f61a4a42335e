"""Reads descriptions of persons, who then write the prompts of a role.

    load_personas("personas.jsonl", role="nurse")
    load_personas("personahub", role="nurse")      # from the Hugging Face hub

`PromptOptions` takes them as its `persons`.
"""

from pathlib import Path

from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.judges.likelihood import names_role
from role_lens.prompts import role_name
from role_lens.rows.fields import text_of
from role_lens.rows.reading import read_rows
from role_lens.values import errors_of

HUB = "personahub"
_HUB_ID = ("proj-persona/PersonaHub", "persona")


def load_personas(source: str | Path, role: str | None = None) -> list[str]:
    """Read descriptions of persons, such as "A midwife who teaches first aid."

    Args:
        source: a file with a field `persona`, or `personahub`, the data set of arXiv 2406.20094
            on the Hugging Face hub.
        role: only descriptions that name this role; None for all.

    Raises:
        RoleLensError: the file or the data set can't be read, or nobody in it names the role.

    Examples:
        >>> from role_lens.writing import load_personas
        >>> line = '{"persona": "A nurse who sings."}\\n{"persona": "A tired poet."}\\n'
        >>> _ = (folder / "personas.jsonl").write_text(line)
        >>> load_personas(folder / "personas.jsonl", role="nurse")
        ['A nurse who sings.']
    """
    wanted = None if role is None else role_name(role)
    found = [
        persona
        for persona in (_hub() if str(source) == HUB else _file(as_path(source)))
        if wanted is None or names_role(persona, wanted)
    ]
    if not found:
        naming = "" if role is None else f" that names the role {role!r}"
        raise RoleLensError(f"{source} holds no description{naming}")
    return found


def _file(path: Path) -> list[str]:
    found = []
    for row in read_rows(path, ["persona"]):
        with errors_of(row.place):
            found.append(text_of(row.fields, "persona"))
    return found


def _hub() -> list[str]:
    import datasets

    try:
        rows = datasets.load_dataset(*_HUB_ID, split="train")
        return [str(row["persona"]) for row in rows]
    except Exception as error:  # the hub client raises many kinds
        raise RoleLensError(
            f"can't load {_HUB_ID[0]} from the Hugging Face hub: {error}"
        ) from error
