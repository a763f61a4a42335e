"""Loads role prompts and base prompts, and writes persona prompts.

    load_roles("builtin")["nurse"][0]    # what a nurse would ask
    load_prompts("builtin")[0]           # what anybody would ask
    persona_prompts("nurse")[0]          # "You are a nurse."

Built-in prompts and their provenance are described in `role_lens/data/README.md`.
"""

import os
import random
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from role_lens.checks import string, whole_number
from role_lens.errors import RoleLensError
from role_lens.files import as_path, read_text
from role_lens.rows.fields import text_of
from role_lens.rows.reading import ENDINGS, read_all, read_rows
from role_lens.rows.row import NoRowsError, Row
from role_lens.values import as_list, errors_of, shown

T = TypeVar("T")

DATA = Path(__file__).parent / "data"

# The kinds of phrasing that Zheng et al. 2024 (arXiv 2311.10054) tried: who the model is, whom it
# talks to, and an imagined scene; "You are a <role>." first.
_PHRASINGS = (
    "You are {a_role}.",
    "Answer the way {a_role} would.",
    "Think of yourself as {a_role} with years of practice.",
    "You are talking with {a_role}.",
    "Imagine that {a_role} has put this question to you.",
    "Picture {a_role} at work, and give the answer that you would hear from them.",
)
NEUTRAL_PERSONA = "You are a person."
"""A system message of the same form as a persona prompt, but without a role."""
_SOUNDS_LIKE_YOU = ("uni", "use", "usu", "uti", "eu", "one", "ukulele")
_FIELDS = "instruction|prompt|text|question"  # the first that is filled
_ENDINGS = (".txt", *ENDINGS)
_STRICT = (".txt", ".jsonl")  # files that hold prompts and nothing else
_SILENT_H = ("heir", "honest", "honor", "honour", "hour")


def load_roles(*sources: str | Path) -> dict[str, list[str]]:
    """Load role prompts: for each role, prompts that a person of that role would ask.

    Args:
        sources: `"builtin"` (29 roles, 64 prompts each), a folder with one file per role, such as
            `<role>.txt` or `<role>.jsonl` (see `load_prompts`), or a single such file; several are
            put together. Without any source the built-in roles are loaded.

    Returns:
        Role name -> its prompts. Role names are file names in lower case, with spaces in the place
        of underscores.

    Warns:
        UserWarning: a file in a folder holds no prompts, and is left out. Hidden files are passed
            over silently.

    Raises:
        RoleLensError: there is no such folder or file, a folder has no prompt files, a file is
            malformed or empty, or a role is there twice.

    Examples:
        >>> roles = load_roles("builtin")
        >>> len(roles), len(roles["nurse"])
        (29, 64)
    """
    roles: dict[str, list[str]] = {}
    for source in sources or ("builtin",):
        builtin = isinstance(source, str) and source == "builtin"
        path = DATA / "roles" if builtin else as_path(source)
        if not os.path.exists(path):
            raise RoleLensError(
                f"no role prompts at {source}: expected 'builtin', a folder of <role>.jsonl, "
                "<role>.txt or other files, or one such file"
            )
        for role, file, prompts in read_all(path, _read_role, "<role>", _ENDINGS, _STRICT):
            if role in roles:
                raise RoleLensError(
                    f"{file} is a second file for the role {role!r}: remove or rename one of them"
                )
            roles[role] = prompts
    return roles


def load_prompts(source: str | Path = "builtin") -> list[str]:
    """Load base prompts, the everyday prompts that role prompts are set against.

    Args:
        source: `"builtin"` (256 prompts), a `.txt` file (one prompt a line), or a `.jsonl`,
            `.json`, `.csv`, `.tsv`, `.parquet` or `.arrow` file, whose rows have a field
            `instruction`, or else `prompt`, `text` or `question`. A `.json` file may also be a list
            of texts.

    Raises:
        RoleLensError: there is no such file, or it is malformed or empty.

    Examples:
        >>> len(load_prompts("builtin"))
        256
    """
    builtin = isinstance(source, str) and source == "builtin"
    path = DATA / "base.jsonl" if builtin else as_path(source)
    if not os.path.isfile(path):
        raise RoleLensError(
            f"no prompts at {source}: expected 'builtin', or a file whose name ends in "
            f"{', '.join(_ENDINGS)}"
        )
    return _read_prompts(path)


def prompt_list(prompts: object, what: str = "prompts") -> list[str]:
    """Prompts as a list of strings, out of a list, tuple, pandas Series, numpy array or generator.

    Args:
        what: what the prompts are called in messages.

    Raises:
        RoleLensError: a lone string, a mapping, a table, a set, something that isn't text, or no
            prompt at all.

    Examples:
        >>> from role_lens.prompts import prompt_list
        >>> prompt_list(("Tea?", "Lunch!"))
        ['Tea?', 'Lunch!']
    """
    several = as_list(prompts)
    if several is None:
        kind = type(prompts).__name__
        raise RoleLensError(f"expected a list of {what}, got {kind}: {shown(prompts)}")
    if not several:
        raise RoleLensError(f"expected at least one of the {what}, got an empty list")
    for number, one in enumerate(several):
        if not isinstance(one, str):
            raise RoleLensError(f"{what}: number {number} is not a string: {shown(one)}")
    return several


def filled_prompts(prompts: object, what: str) -> tuple[str, ...]:
    """Prompts as `prompt_list` takes them, none of which is empty.

    Raises:
        RoleLensError: as `prompt_list`, and an empty prompt.
    """
    listed = prompt_list(prompts, what)
    for number, prompt in enumerate(listed):
        if not prompt.strip():
            raise RoleLensError(f"{what}: number {number} is empty: {prompt!r}")
    return tuple(listed)


def split(prompts: Sequence[T], fraction: float, *, seed: int = 0) -> tuple[list[T], list[T]]:
    """Split prompts (or their tokens) at random into two lists.

    Both keep the order of `prompts`; the same seed gives the same split.

    Args:
        fraction: share of the prompts that the first list gets.

    Raises:
        RoleLensError: a fraction outside 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise RoleLensError(f"fraction must lie between 0 and 1, got {fraction}")
    chosen = set(random.Random(seed).sample(range(len(prompts)), round(fraction * len(prompts))))
    first = [prompt for i, prompt in enumerate(prompts) if i in chosen]
    second = [prompt for i, prompt in enumerate(prompts) if i not in chosen]
    return first, second


def spread(prompts: Iterable[T], n: int) -> list[T]:
    """Take at most n prompts of a list, evenly spaced, beginning with the first.

    Raises:
        RoleLensError: n is below 1, or the prompts are no list.

    Examples:
        >>> spread(["a", "b", "c", "d", "e", "f"], 3)
        ['a', 'c', 'e']
    """
    n = whole_number(n, "n", least=1)
    several = as_list(prompts)
    if several is None:
        raise RoleLensError(f"expected a list, got {shown(prompts)}")
    n = min(n, len(several))
    return [several[index * len(several) // n] for index in range(n)]


def persona_prompts(role: str) -> list[str]:
    """Write the persona prompts of a role: system messages that name it in words.

    The first is "You are a <role>."; the others are phrased in the ways that Zheng et al. 2024
    (arXiv 2311.10054) tried: who the model is, whom it talks to, and an imagined scene.

    Examples:
        >>> persona_prompts("economist")[:2]
        ['You are an economist.', 'Answer the way an economist would.']
    """
    return [phrasing.format(a_role=with_article(role)) for phrasing in _PHRASINGS]


def with_article(role: str) -> str:
    """The name of a role with its article, such as `a nurse`, `an hourly worker`.

    Raises:
        RoleLensError: no name.
    """
    role = string(role, "the name of a role").strip()
    name = role.lower()
    if not name:
        raise RoleLensError(f"expected the name of a role, got {role!r}")
    vowel = name[0] in "aeiou" and not name.startswith(_SOUNDS_LIKE_YOU)
    return f"{'an' if vowel or name.startswith(_SILENT_H) else 'a'} {role}"


def role_name(text: str) -> str:
    """The form in which role names are stored: lower case, spaces in the place of underscores.

    It is one form of Unicode, too: macOS names files in another.
    """
    words = string(text, "the name of a role").replace("_", " ").lower().split()
    return unicodedata.normalize("NFC", " ".join(words))


def _read_role(path: Path) -> tuple[str, Path, list[str]]:
    return role_name(path.stem), path, _read_prompts(path)


def _read_prompts(path: Path) -> list[str]:
    if path.suffix.lower() == ".txt":
        prompts = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    else:
        rows = read_rows(path, _FIELDS.split("|"))
        if rows and not _may_be_prompt(rows[0]):
            raise NoRowsError(
                f"{rows[0].place}: expected a non-empty string in the field 'instruction', or else "
                f"in prompt, text or question; got {shown(rows[0].value)}"
            )
        prompts = [_prompt(row) for row in rows]
    if not prompts:
        raise RoleLensError(f"{path} holds no prompts: expected one a line")
    return prompts


def _may_be_prompt(row: Row) -> bool:
    return isinstance(row.value, str) or row.has(_FIELDS.split("|"))


def _prompt(row: Row) -> str:
    with errors_of(row.place):
        is_text = isinstance(row.value, str)
        return text_of({"instruction": row.value} if is_text else row.fields, _FIELDS)
