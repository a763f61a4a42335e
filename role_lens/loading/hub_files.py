"""Finds files on the Hugging Face hub by addresses that begin with hf://.

    at_hand("hf://user/repo", "role_vectors.safetensors")          # of the newest commit
    at_hand("hf://user/repo@v1/folder/nurse.safetensors", ...)     # a branch, tag or commit; a file
    at_hand("roles.safetensors", ...)                              # a path is what it is

A file comes from the local cache where it is there, also where the hub can't be reached. In the
name of a branch `/` is written as %2F.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.loading.reasons import causes, reason

VECTORS_FILE = "role_vectors.safetensors"
"""What a file of role vectors is called on the hub."""
PATCH_FILE = "patch.safetensors"
"""What the file of a patch is called there."""
_SERVER_ERROR = 500
_COME_AGAIN = (408, 429)
# pathlib makes one slash of two, and on Windows another one.
_ADDRESS = re.compile(
    r"hf:/{1,2}(?!(?:datasets|spaces)/)(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?"
    r"(/(?P<file>.*[^/]))?/?",
    re.IGNORECASE,
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class AtHand:
    """A file on this machine, and where it came from."""

    path: Path
    origin: dict[str, str] | None
    """`repo`, `revision` (the commit, whatever was asked for) and `file`; None for a local file."""


def at_hand(path: str | Path, usual: str) -> AtHand:
    """The file that a path or an address on the hub names, downloaded if need be.

    Args:
        path: a path, or `hf://user/repo[@revision][/file]`.
        usual: the file of a repository, where the address names none.

    Raises:
        RoleLensError: no path and no address of that form; a repository, revision or file that
            isn't there, or that can't be downloaded and isn't in the local cache.
    """
    name = str(path).replace("\\", "/")
    if not name.lower().startswith("hf:/"):
        return AtHand(as_path(path), None)
    found = _ADDRESS.fullmatch(name)
    if found is None:
        raise RoleLensError(
            f"{path} is no address of a model on the hub: expected hf://user/repo, "
            "hf://user/repo@revision or hf://user/repo@revision/file"
        )
    repo, file = found["repo"], found["file"] or usual
    local, commit = _downloaded(repo, unquote(found["revision"] or "main"), file)
    return AtHand(local, {"repo": repo, "revision": commit, "file": file})


def _downloaded(repo: str, revision: str, file: str) -> tuple[Path, str]:
    """A file of the local cache, and its commit."""
    from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name = f"{file} of {repo}@{revision}"
    if _COMMIT.fullmatch(revision):
        known = try_to_load_from_cache(repo, file, revision=revision)
        if isinstance(known, str):
            return Path(known), revision
    unreachable = None
    try:  # once: the download tries again and again, which takes half a minute without a network
        HfApi().model_info(repo, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except HfHubHTTPError as error:
        status = _SERVER_ERROR if error.response is None else error.response.status_code
        if status < _SERVER_ERROR and status not in _COME_AGAIN:
            raise RoleLensError(f"can't load {name}: {_explained(error, repo)}") from error
        unreachable = reason(error)
    except Exception as error:  # of the hub's client and of what it is built on
        unreachable = reason(error)
    cached = unreachable is not None
    try:
        path = Path(hf_hub_download(repo, file, revision=revision, local_files_only=cached))
    except LocalEntryNotFoundError as error:
        raise RoleLensError(
            f"can't load {name}: it is not in the local cache, and the Hugging Face hub can't be "
            f"reached ({unreachable or reason(error)})"
        ) from error
    except Exception as error:  # of the hub's client and of what it is built on
        raise RoleLensError(f"can't load {name}: {_explained(error, repo)}") from error
    return path, path.parts[-1 - len(Path(file).parts)]


def _explained(error: BaseException, repo: str) -> str:
    names = {type(one).__name__ for one in causes(error)}
    if "GatedRepoError" in names:
        return f"accept its terms at https://huggingface.co/{repo}, and log in: `hf auth login`"
    if "RepositoryNotFoundError" in names:
        return "the hub has no such repository, or it is private: check the name, `hf auth login`"
    if "RevisionNotFoundError" in names:
        return "the repository has no such revision"
    if names & {"EntryNotFoundError", "RemoteEntryNotFoundError"}:
        return "the repository has no such file"
    return reason(error)
