"""Takes a tokenizer as it is given: an object of transformers, a folder, or a Hugging Face id.

    usable_tokenizer("org/base-model")
    usable_tokenizer(tokenizer)

TransformerLens reads a tokenizer again from where it came from, and what was changed since would be
lost: one that is handed over is therefore saved, and read from there.
"""

import copy
import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.loading.cache import kept_folder
from role_lens.loading.contents import check_tokenizer, contents_of
from role_lens.loading.hub import look_up
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
    folder = as_path(given)
    if folder.is_dir():
        check_tokenizer(contents_of(folder, "tokenizer"))
        return read_tokenizer(folder)
    with look_up(str(given)).network():
        return read_tokenizer(str(given))


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
    """The same tokenizer from a folder of the cache, named by what is in it."""
    with tempfile.TemporaryDirectory() as temporary:
        try:
            tokenizer.save_pretrained(temporary)
        except Exception as error:
            raise RoleLensError(
                f"can't take the tokenizer: {explained(error, type(tokenizer).__name__)}"
            ) from error
        files = {one.name: one.read_bytes() for one in sorted(Path(temporary).iterdir())}
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}|{len(content)}|".encode() + content)

    def write(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)

    folder = kept_folder("tokenizers", digest.hexdigest()[:16], write)
    with suppress(RoleLensError):
        read = read_tokenizer(folder)
        if _encode_alike(tokenizer, read):
            return read
    # It is of a class that transformers doesn't have. It is taken as it is.
    own = copy.deepcopy(tokenizer)
    own.init_kwargs.setdefault("name_or_path", "")
    own.init_kwargs["add_bos_token"] = True  # or TransformerLens would read it again
    return own


def _encode_alike(one: Any, other: Any) -> bool:
    return len(one) == len(other) and one(_PROBE)["input_ids"] == other(_PROBE)["input_ids"]
