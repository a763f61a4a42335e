"""Takes a tokenizer as it is given: an object of transformers, a folder, or a Hugging Face id.

    usable_tokenizer("org/base-model")
    usable_tokenizer(tokenizer)

TransformerLens reads a tokenizer again from where it came from, and what was changed since would be
lost: one that is handed over is therefore saved, and read from there.
"""

import atexit
import copy
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.loading.cache import kept_folder
from role_lens.loading.contents import check_tokenizer, contents_of
from role_lens.loading.hub import look_up, may_be_an_id
from role_lens.loading.kinds import explained

_PROBE = "Is it 12 o'clock?\n\tÄ naïve 日本 🙂 <|end|>"


def usable_tokenizer(given: Any) -> Any:
    """A tokenizer of the caller's own, which TransformerLens may change.

    Raises:
        RoleLensError: it is no tokenizer, or can't be found or read.
    """
    from transformers import PreTrainedTokenizerBase

    if isinstance(given, PreTrainedTokenizerBase):
        return _read_again(given)
    if not isinstance(given, (str, Path)):
        raise RoleLensError(
            "tokenizer must be a transformers tokenizer, a folder or a Hugging Face id, got "
            f"{type(given).__name__}"
        )
    path = as_path(given)
    if str(given) and os.path.isdir(path):
        check_tokenizer(contents_of(path, "tokenizer"))
        return read_tokenizer(path)
    if os.path.isfile(path) or not may_be_an_id(given):
        raise RoleLensError(
            f"there is no tokenizer at {str(given)!r}: expected a folder, or a Hugging Face id "
            "such as 'org/model'"
        )
    found = look_up(str(given), "tokenizer")
    # Of a tokenizer that is in the cache without a model, transformers can't find all by its id.
    cached = found.contents.folder if found.contents is not None else None
    return read_tokenizer(cached or found.name)


def read_tokenizer(source: str | Path) -> Any:
    """The tokenizer of a model in a folder or on the hub.

    Raises:
        RoleLensError: it can't be read, or is code that comes with the model.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # of transformers, of tokenizers, of the hub's client
        raise RoleLensError(
            f"can't load the tokenizer of {str(source)!r}: {explained(error, str(source))}"
        ) from error


def _read_again(tokenizer: Any) -> Any:
    """The same tokenizer from a folder."""
    folder = _folder_of(_saved(tokenizer))
    with suppress(RoleLensError):
        read = read_tokenizer(folder)
        if _encode_alike(tokenizer, read):
            return read
    # It is of a class that transformers doesn't have. It is taken as it is.
    own = copy.deepcopy(tokenizer)
    own.init_kwargs.setdefault("name_or_path", "")
    own.init_kwargs["add_bos_token"] = True  # or TransformerLens would read it again
    return own


def _saved(tokenizer: Any) -> dict[str, bytes]:
    """The files that a tokenizer is saved as."""
    try:
        with tempfile.TemporaryDirectory() as temporary:
            tokenizer.save_pretrained(temporary)
            return {
                file.relative_to(temporary).as_posix(): file.read_bytes()
                for file in sorted(Path(temporary).rglob("*"))
                if file.is_file()
            }
    except Exception as error:
        raise RoleLensError(
            f"can't take the tokenizer: {explained(error, type(tokenizer).__name__)}"
        ) from error


def _folder_of(files: Mapping[str, bytes]) -> Path:
    """A folder of the cache, named by what is in it; one of this process's if there is no cache."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}|{len(content)}|".encode() + content)

    def write(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    try:
        return kept_folder("tokenizers", digest.hexdigest()[:16], write)
    except RoleLensError:  # as in containers whose home can't be written to
        folder = Path(tempfile.mkdtemp(prefix="role-lens-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        write(folder)
        return folder


def _encode_alike(one: Any, other: Any) -> bool:
    return len(one) == len(other) and one(_PROBE)["input_ids"] == other(_PROBE)["input_ids"]
