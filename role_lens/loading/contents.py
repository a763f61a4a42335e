"""Says what a model folder lacks, before transformers tries to load it.

    check_files(contents_of(Path("checkpoint-500")))    # "... it holds no weights, expected ..."

The files of a model on the Hugging Face hub are looked at in the same way, by their names alone.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from role_lens.errors import RoleLensError
from role_lens.loading.reasons import reason

CONFIG, ADAPTER = "config.json", "adapter_config.json"
_INDEX = ".index.json"
# As transformers looks for them: safetensors before the older form, a whole file before parts.
_FORMS = (
    *("model.safetensors", f"model.safetensors{_INDEX}"),
    *("pytorch_model.bin", f"pytorch_model.bin{_INDEX}"),
)
_OF_WEIGHTS = re.compile(r"\.(safetensors|bin|pth?|ckpt|gguf|h5|msgpack)$")
_OF_TOKENIZER = re.compile(
    r"^(tokenizer.*|vocab\..*|.*\.(model|tiktoken|spm)|sentencepiece.*|tekken\.json)$"
)
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Contents:
    """The files of a model folder, or of a model on the hub."""

    trouble: str
    """How messages begin: "can't load a model from /models/qwen"."""
    files: frozenset[str]
    """Names of the files at its top."""
    folder: Path | None = None
    """The folder, whose files can be looked into; None for a model on the hub."""

    @property
    def is_adapter(self) -> bool:
        """Whether it is no whole model, but an adapter such as LoRA's."""
        return ADAPTER in self.files and not self.files & {*_FORMS}

    @property
    def has_tokenizer(self) -> bool:
        """Whether a tokenizer was saved in it."""
        return any(_OF_TOKENIZER.match(name) for name in self.files)


def contents_of(folder: Path, what: str = "model") -> Contents:
    """The files of a folder, from which something is to be loaded.

    Raises:
        RoleLensError: it can't be read.
    """
    try:
        files = frozenset(one.name for one in folder.iterdir() if one.is_file())
    except OSError as error:
        raise RoleLensError(f"can't read {folder}: {error.strerror or error}") from error
    return Contents(f"can't load a {what} from {folder}", files, folder)


def check_files(contents: Contents) -> None:
    """Raise a RoleLensError that says what is missing or damaged, unless a model is there."""
    if CONFIG not in contents.files:
        raise RoleLensError(_without_config(contents))
    if ADAPTER in contents.files:
        raise RoleLensError(
            f"{contents.trouble}: it holds a whole model and an adapter ({ADAPTER}), put one of "
            "them into a folder of its own"
        )
    form = next((name for name in _FORMS if name in contents.files), None)
    if form is None:
        found = sorted(name for name in contents.files if _OF_WEIGHTS.search(name))
        raise RoleLensError(
            f"{contents.trouble}: it holds no weights, expected {_FORMS[0]}, several such files "
            f"with {_FORMS[1]}, or {_FORMS[2]}"
            + (f"; it holds {', '.join(found[:4])}" if found else "")
        )
    if contents.folder is not None:
        parts = _shards(contents, contents.folder / form) if form.endswith(_INDEX) else [form]
        for name in parts:
            _check_weights(contents.folder / name)


def check_tokenizer(contents: Contents) -> None:
    """Raise a RoleLensError unless a tokenizer seems to be there."""
    if contents.has_tokenizer:
        return
    above = contents.folder.resolve().parent if contents.folder else None
    # Beside the checkpoints of a training there is often that of the whole.
    found = above is not None and _may_be_read(above) and contents_of(above).has_tokenizer
    raise RoleLensError(
        f"{contents.trouble}: it holds no tokenizer, such as tokenizer.json: copy the tokenizer "
        "files of the model that it was trained from into it, or give that model's tokenizer: "
        f"load_model(..., tokenizer={repr(str(above)) if found else '...'}), or --tokenizer"
    )


def _may_be_read(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def _without_config(contents: Contents) -> str:
    """Why there is no config.json in it, as far as that can be seen."""
    files = [name for name in sorted(contents.files) if name.endswith(".gguf")]
    inner = []
    if contents.folder is not None:
        inner = sorted(
            one.parent.relative_to(contents.folder).as_posix()
            for pattern in (f"*/{CONFIG}", f"snapshots/*/{CONFIG}", f"*/{ADAPTER}")
            for one in contents.folder.glob(pattern)
        )
    if not contents.files and not inner:
        hint = "it is empty, expected config.json, weights and tokenizer files"
    elif files:
        name = "name one of them" if contents.folder else "download one of them, and name it"
        hint = f"it holds no {CONFIG}, but GGUF files: {name} ({', '.join(files[:4])})"
    elif inner:
        hint = (
            f"it holds no {CONFIG}, but folders with one: name one of them ({', '.join(inner[:4])})"
        )
    else:
        hint = f"it holds no {CONFIG}, expected what save_pretrained of transformers writes"
    return f"{contents.trouble}: {hint}"


def _shards(contents: Contents, index: Path) -> list[str]:
    """Files that the index names; all of them are there."""
    check_pointer(index)
    try:
        names = sorted({*json.loads(index.read_bytes())["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RoleLensError(
            f"{index} is damaged ({reason(error)}): copy or download it again"
        ) from error
    missing = [name for name in names if name not in contents.files]
    if missing:
        raise RoleLensError(
            f"{contents.trouble}: it lacks {len(missing)} of its {len(names)} files of weights, "
            f"such as {missing[0]}, copy or download the rest"
        )
    return names


def _check_weights(file: Path) -> None:
    """Raise a RoleLensError unless the file begins, and is as long, as it should be."""
    from safetensors import SafetensorError, safe_open

    check_pointer(file)
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise RoleLensError(
            f"{file} is damaged or cut off ({reason(error)}): copy or download it again"
        ) from error


def check_pointer(file: Path) -> None:
    """Raise a RoleLensError if a file only says where Git LFS has the file itself."""
    if begins_with(file, _POINTER):
        raise RoleLensError(
            f"{file} is a Git LFS pointer in the place of the file itself: run `git lfs pull` in "
            "its folder, or download it"
        )


def begins_with(file: Path, start: bytes) -> bool:
    """Whether a file begins with these bytes.

    Raises:
        RoleLensError: the file can't be read.
    """
    try:
        with open(file, "rb") as opened:
            return opened.read(len(start)) == start
    except OSError as error:
        raise RoleLensError(f"can't read {file}: {error.strerror or error}") from error
