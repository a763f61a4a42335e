"""Puts role vectors, a patch or a baked model on the Hugging Face hub, with a card.

    push("roles.safetensors", "user/roles")        # 'hf://user/roles@3f2c…'
    RoleVectors.load("hf://user/roles")
    written(contents_for("nurse.safetensors", "user/nurse"), "folder")    # nothing is sent

A repository holds one thing, which its card describes.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from role_lens.errors import RoleLensError, first_line
from role_lens.experiments.handed_over import judged_roles
from role_lens.files import as_path, make_folder, read_text
from role_lens.interop.cards import LICENCE, licence_words, patch_card, vectors_card
from role_lens.interop.push_options import PushOptions
from role_lens.loading.hub import may_be_an_id
from role_lens.loading.hub_files import PATCH_FILE, VECTORS_FILE
from role_lens.loading.license import is_license
from role_lens.loading.reasons import causes, reason
from role_lens.patches.patch_file import PATCHES, read_patches
from role_lens.values import shown
from role_lens.vector_file import read_safetensors
from role_lens.vectors import RoleVectors

Contents: TypeAlias = Mapping[str, Path | str]
"""What a repository is to hold, by name: files, and text."""
_CARD = "README.md"


def push(source: str | Path, repo: str, options: PushOptions = PushOptions()) -> str:
    """Put role vectors, a patch or a baked model on the Hugging Face hub, in one commit.

    The repository is made if there is none; files of the same name in it are replaced, in a new
    commit. Give each thing a repository of its own, since one has one card.

    Args:
        source: a file that `RoleVectors.save` or `Patch.save` wrote, or a folder that `bake` made.
        repo: the repository, such as user/nurse.
        options: licence, verdicts, privacy.

    Returns:
        The address with the commit, which `RoleVectors.load` and `read_patches` take: it stands for
        the same content for good.

    Raises:
        RoleLensError: as `contents_for`; no login, one that may not write there, a repository that
            is public and was to be private, or the hub can't be reached. The hub takes all files or
            none; a repository that was made for them stays.

    Examples:
        >>> from role_lens.interop import push
        >>> vectors.save(folder / "roles.safetensors")
        >>> push(folder / "roles.safetensors", "roles")
        Traceback (most recent call last):
            ...
        role_lens.errors.RoleLensError: 'roles' is no repository on the hub: expected an owner and \
a name, such as user/roles
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    contents = contents_for(source, repo, options)
    if get_token() is None:
        raise RoleLensError(
            "not logged in at the Hugging Face hub: `hf auth login`, or set HF_TOKEN"
        )
    try:
        operations = [
            CommitOperationAdd(name, what.encode() if isinstance(what, str) else what)
            for name, what in contents.items()
        ]
        api = HfApi()
        api.create_repo(repo, private=options.private or None, exist_ok=True)
        if options.private and not api.model_info(repo).private:
            raise RoleLensError(
                f"{repo} is there and public: make it private on the hub first, or take another "
                "name; nothing was sent"
            )
        done = api.create_commit(repo, operations, commit_message=options.message)
    except RoleLensError:
        raise
    except Exception as error:  # of the hub's client and of what it is built on
        raise RoleLensError(f"can't push to {repo}: {_explained(error)}") from error
    return f"hf://{repo}@{done.oid}"


def contents_for(
    source: str | Path, repo: str, options: PushOptions = PushOptions()
) -> dict[str, Path | str]:
    """What `push` puts into a repository: files, and the text of the card.

    Args:
        source: as for `push`.
        repo: as for `push`.
        options: as for `push`.

    Raises:
        RoleLensError: no such file or folder, or one of something else; a name that the hub doesn't
            take; a comparison of something else.

    Examples:
        >>> from role_lens.interop import contents_for
        >>> vectors.add("poet", layer=1).save(folder / "poet.safetensors")
        >>> sorted(contents_for(folder / "poet.safetensors", "user/poet"))
        ['README.md', 'patch.safetensors']
    """
    if not isinstance(repo, str) or repo.count("/") != 1 or not may_be_an_id(repo):
        raise RoleLensError(
            f"{shown(repo)} is no repository on the hub: expected an owner and a name, such as "
            f"user/{as_path(source).stem or 'roles'}"
        )
    if options.license is not None and not is_license(options.license):
        raise RoleLensError(
            f"{shown(options.license)} is no licence as the hub abbreviates them, such as "
            "apache-2.0, mit or other"
        )
    path = as_path(source)
    if path.is_dir():
        _refuse_comparison(options, f"{path} is a baked model")
        return _of_model(path, options.license)
    if not path.is_file():
        raise RoleLensError(
            f"no file or folder at {path}: push a file of role vectors, a patch, or a baked model"
        )
    if PATCHES in read_safetensors(path)[0]:
        why = f"{path} is a patch, whose file holds what is known of it"
        _refuse_comparison(
            options, f"{why} (`role-lens export --patch --comparison` writes it there)"
        )
        return {
            PATCH_FILE: path,
            _CARD: patch_card(read_patches(path), repo, options.license),
        }
    vectors = RoleVectors.load(path)
    verdicts = None if options.comparison is None else judged_roles(options.comparison, vectors)
    return {VECTORS_FILE: path, _CARD: vectors_card(vectors, repo, verdicts, options.license)}


def written(contents: Contents, out: str | Path) -> Path:
    """Write what a repository is to hold into a new folder, instead of sending it.

    Raises:
        RoleLensError: the folder exists, or can't be written. Nothing is left then.

    Examples:
        >>> from role_lens.interop import contents_for, written
        >>> vectors.add("poet", layer=1).save(folder / "poet.safetensors")
        >>> made = written(contents_for(folder / "poet.safetensors", "user/poet"), folder / "hub")
        >>> (made / "README.md").read_text().splitlines()[0]
        '---'
    """
    target = as_path(out)
    if target.exists():
        raise RoleLensError(f"{target} exists: name a new folder")
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=make_folder(target.parent)))
    try:
        for name, what in contents.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(what, str):
                (temporary / name).write_text(what, encoding="utf-8")
            else:
                shutil.copy(what, temporary / name)
        temporary.chmod(0o755)
        temporary.rename(target)
    except OSError as error:
        raise RoleLensError(f"can't write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _refuse_comparison(options: PushOptions, why: str) -> None:
    if options.comparison is not None:
        raise RoleLensError(f"{why}: leave out --comparison")


def _of_model(folder: Path, license: str | None) -> dict[str, Path | str]:
    """A baked model, as it is."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    named = {file.relative_to(folder).as_posix(): file for file in files}
    contents: dict[str, Path | str] = {
        name: file
        for name, file in named.items()
        if not any(part.startswith(".") for part in name.split("/"))  # such as .git and .env
    }
    if {"config.json", _CARD} - {*contents} or not any(
        name.endswith(".safetensors") for name in contents
    ):
        raise RoleLensError(
            f"{folder} lacks a config.json, weights or a {_CARD}: push a folder that `role-lens "
            "bake` made"
        )
    if license is not None:
        contents[_CARD] = _with_license(folder / _CARD, license)
    return contents


def _with_license(card: Path, license: str) -> str:
    from huggingface_hub import ModelCard

    try:
        found = ModelCard(read_text(card))
    except RoleLensError:
        raise
    except Exception as error:  # of what parses its head
        raise RoleLensError(f"{card} is no model card: {first_line(error)}") from error
    found.data["license"] = license
    head, section, rest = found.text.partition(f"{LICENCE}\n\n")
    if section:
        _, *following = rest.split("\n\n", 1)
        found.text = head + section + "\n\n".join([licence_words(license), *following])
    return str(found)


def _explained(error: BaseException) -> str:
    """Why the hub took nothing, in one line, which says what to do where that is known."""
    answers = [getattr(one, "response", None) for one in causes(error)]
    status = next((one.status_code for one in answers if one is not None), None)
    if status == 401:
        return "the hub doesn't take the login: `hf auth login` anew"
    if status == 403:
        return "the login may not write there: check owner and rights of the token"
    return reason(error)
