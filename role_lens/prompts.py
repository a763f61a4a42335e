"""Loads role prompts and base prompts, and writes persona prompts.

    load_roles("builtin")["nurse"][0]    # what a nurse would ask
    load_prompts("builtin")[0]           # what anybody would ask
    persona_prompts("nurse")[0]          # "You are a nurse."

Built-in prompts and their provenance are described in `role_lens/data/README.md`.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from role_lens.errors import RoleLensError
from role_lens.files import as_path, read_bytes, read_jsonl

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
_SILENT_H = ("heir", "honest", "honor", "honour", "hour")


def load_roles(*sources: str | Path) -> dict[str, list[str]]:
    """Load role prompts: for each role, prompts that a person of that role would ask.

    Args:
        sources: `"builtin"` (29 roles, 64 prompts each), a folder with one `<role>.jsonl` (field
            `instruction`) or `<role>.txt` (one prompt a line) per role, or a single such file;
            several are put together. Without any source the built-in roles are loaded.

    Returns:
        Role name -> its prompts. Role names are file names in lower case, with spaces in the place
        of underscores.

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
        for role, file in _role_files(source):
            if role in roles:
                raise RoleLensError(
                    f"{file} is a second file for the role {role!r}: remove or rename one of them"
                )
            roles[role] = _read_prompts(file)
    return roles


def _role_files(source: str | Path) -> list[tuple[str, Path]]:
    path = DATA / "roles" if source == "builtin" else as_path(source)
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in (".jsonl", ".txt"))
    else:
        raise RoleLensError(
            f"no role prompts at {source}: expected 'builtin', a folder of <role>.jsonl or "
            "<role>.txt files, or one such file"
        )
    if not files:
        raise RoleLensError(f"{path} holds no <role>.jsonl or <role>.txt file")
    return [(role_name(file.stem), file) for file in files]


def load_prompts(source: str | Path = "builtin") -> list[str]:
    """Load base prompts, the everyday prompts that role prompts are set against.

    Args:
        source: `"builtin"` (256 prompts), a `.jsonl` file (field `instruction`) or a `.txt` file
            (one prompt a line).

    Raises:
        RoleLensError: there is no such file, or it is malformed or empty.

    Examples:
        >>> len(load_prompts("builtin"))
        256
    """
    path = DATA / "base.jsonl" if source == "builtin" else as_path(source)
    if not path.is_file():
        raise RoleLensError(
            f"no prompts at {source}: expected 'builtin', a .jsonl file or a .txt file"
        )
    return _read_prompts(path)


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


def spread(prompts: Sequence[T], n: int) -> list[T]:
    """Take at most n prompts of a list, evenly spaced, beginning with the first.

    Raises:
        RoleLensError: n is below 1.

    Examples:
        >>> spread(["a", "b", "c", "d", "e", "f"], 3)
        ['a', 'c', 'e']
    """
    if n < 1:
        raise RoleLensError(f"n must be at least 1, got {n}")
    n = min(n, len(prompts))
    return [prompts[index * len(prompts) // n] for index in range(n)]


def persona_prompts(role: str) -> list[str]:
    """Write the persona prompts of a role: system messages that name it in words.

    The first is "You are a <role>."; the others are phrased in the ways that Zheng et al. 2024
    (arXiv 2311.10054) tried: who the model is, whom it talks to, and an imagined scene.

    Examples:
        >>> persona_prompts("economist")[:2]
        ['You are an economist.', 'Answer the way an economist would.']
    """
    name = role.strip().lower()
    if not name:
        raise RoleLensError(f"expected the name of a role, got {role!r}")
    vowel = name[0] in "aeiou" and not name.startswith(_SOUNDS_LIKE_YOU)
    vowel = vowel or name.startswith(_SILENT_H)
    return [phrasing.format(a_role=f"{'an' if vowel else 'a'} {role}") for phrasing in _PHRASINGS]


def role_name(text: str) -> str:
    """The form in which role names are stored: lower case, spaces in the place of underscores."""
    return " ".join(text.replace("_", " ").lower().split())


def _read_prompts(path: Path) -> list[str]:
    if path.suffix == ".txt":
        try:
            lines = read_bytes(path).decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise RoleLensError(f"{path} is not UTF-8 text ({error})") from error
        prompts = [line.strip() for line in lines if line.strip()]
    else:
        prompts = []
        for number, row in read_jsonl(path):
            prompt = row.get("instruction")
            if not isinstance(prompt, str) or not prompt.strip():
                raise RoleLensError(
                    f"{path}, line {number}: expected a non-empty string in the field "
                    f"'instruction', got {prompt!r}"
                )
            prompts.append(prompt)
    if not prompts:
        raise RoleLensError(f"{path} holds no prompts: expected one a line")
    return prompts
