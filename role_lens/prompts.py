"""Loads role prompts and base prompts, and writes persona prompts.

    load_roles("builtin")["nurse"][0]
    load_prompts("builtin")[0]
    persona_prompts("nurse")[0]    # "You are a nurse."

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
_SOUNDS_LIKE_YOU = ("uni", "use", "usu", "uti", "eu", "one", "ukulele")
_SILENT_H = ("heir", "honest", "honor", "honour", "hour")


def load_roles(*sources: str | Path) -> dict[str, list[str]]:
    """Role name -> prompts that a person of that role would ask.

    Args:
        sources: `"builtin"` (29 roles, 64 prompts each), a folder with one `<role>.jsonl`
            (field `instruction`) or `<role>.txt` (one prompt a line) per role, or a single such
            file; several are put together. Underscores in file names become spaces in role names.
            No source at all is the same as `"builtin"`.

    Raises:
        RoleLensError: no such folder, no prompt files in it, a malformed or empty file, a role
            that is there twice.
    """
    roles: dict[str, list[str]] = {}
    for source in sources or ("builtin",):
        for role, file in _role_files(source):
            if role in roles:
                raise RoleLensError(f"{file} is a second file for the role {role!r}")
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
    """Base (contrast) prompts: `"builtin"` (256 everyday prompts), a .jsonl file (field
    `instruction`) or a .txt file (one prompt a line).

    Raises:
        RoleLensError: no such file, or it is malformed or empty.
    """
    path = DATA / "base.jsonl" if source == "builtin" else as_path(source)
    if not path.is_file():
        raise RoleLensError(
            f"no prompts at {source}: expected 'builtin', a .jsonl file or a .txt file"
        )
    return _read_prompts(path)


def split(prompts: Sequence[T], fraction: float, *, seed: int = 0) -> tuple[list[T], list[T]]:
    """Split prompts (or their tokens) at random into two lists, the first holding `fraction`.

    Both keep the order of `prompts`; the same seed gives the same split.
    """
    if not 0 <= fraction <= 1:
        raise RoleLensError(f"fraction must lie between 0 and 1, got {fraction}")
    chosen = set(random.Random(seed).sample(range(len(prompts)), round(fraction * len(prompts))))
    first = [prompt for i, prompt in enumerate(prompts) if i in chosen]
    second = [prompt for i, prompt in enumerate(prompts) if i not in chosen]
    return first, second


def spread(prompts: Sequence[T], n: int) -> list[T]:
    """At most n, evenly spaced, the first among them.

    Raises:
        RoleLensError: fewer than one.
    """
    if n < 1:
        raise RoleLensError(f"at least one prompt is needed, got {n}")
    n = min(n, len(prompts))
    return [prompts[index * len(prompts) // n] for index in range(n)]


def persona_prompts(role: str) -> list[str]:
    """System messages that ask for a role in words; "You are a <role>." first."""
    name = role.lower()
    vowel = name[0] in "aeiou" and not name.startswith(_SOUNDS_LIKE_YOU)
    vowel = vowel or name.startswith(_SILENT_H)
    return [phrasing.format(a_role=f"{'an' if vowel else 'a'} {role}") for phrasing in _PHRASINGS]


def role_name(text: str) -> str:
    """The form in which roles are stored: lower case, spaces instead of underscores."""
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
        raise RoleLensError(f"{path} holds no prompts")
    return prompts
