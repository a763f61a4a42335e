"""Reads a transformers model and its tokenizer from a folder or from the hub, adapters merged.

    hf_model, tokenizer = read_folder(Path("checkpoint-500"), torch.float32)
    hf_model, tokenizer = read_from_hub(look_up("org/model"), torch.float32)

Where something is missing, the message says what, and what to do.
"""

import os
from pathlib import Path
from typing import Any

import torch

from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.loading.adapters import base_of, merged
from role_lens.loading.contents import (
    Contents,
    check_files,
    check_tokenizer,
    contents_of,
)
from role_lens.loading.gguf import PACKAGED_MODEL, converted, is_gguf, packaged_gguf
from role_lens.loading.hub import OnHub, downloaded_adapter, look_up, may_be_an_id
from role_lens.loading.kinds import check_config, check_loaded, explained, read_config
from role_lens.loading.tokenizers import read_tokenizer

_FILES = (".gguf", ".safetensors", ".bin", ".pt", ".pth", ".ckpt")


def local_folder(name: str | Path) -> Path | None:
    """A folder that transformers can load too; None where `name` has to be a Hugging Face id.

    The weights of the packaged model and of `.gguf` files are converted into it on first use.

    Raises:
        RoleLensError: it is a file of another kind, or a path to nothing.
    """
    if name == PACKAGED_MODEL:
        return converted(packaged_gguf())
    path = as_path(name)
    # Unlike pathlib's, these are False too for what can't be a path or may not be looked at.
    if str(name) and os.path.isdir(path):
        return path
    if os.path.isfile(path) and not is_gguf(path):
        raise RoleLensError(
            f"can't load a model from the file {path}: name the folder that it is in, with "
            "config.json and a tokenizer, or a .gguf file"
        )
    if os.path.isfile(path) or path.suffix.lower() == ".gguf":
        return converted(path)
    if path.suffix.lower() in _FILES or not may_be_an_id(name):
        raise RoleLensError(
            f"there is no model at {str(name)!r}: expected a folder, a .gguf file, or a Hugging "
            "Face id such as 'org/model'"
        )
    return None


def read_folder(folder: Path, dtype: torch.dtype, tokenizer: Any = None) -> tuple[Any, Any]:
    """The transformers model in a folder and its tokenizer, ready for TransformerLens.

    Args:
        folder: of a whole model, or of an adapter, which is merged into its base model.
        tokenizer: takes the place of the folder's.

    Raises:
        RoleLensError: something is missing or damaged, or the model is of another kind.
    """
    return _read(str(folder), contents_of(folder), dtype, tokenizer)


def read_from_hub(found: OnHub, dtype: torch.dtype, tokenizer: Any = None) -> tuple[Any, Any]:
    """As `read_folder`, of what `look_up` has found; to be called in its `network()`.

    Raises:
        RoleLensError: as `read_folder`, and if it can't be downloaded.
    """
    return _read(found.name, found.contents, dtype, tokenizer)


def _read(
    source: str, contents: Contents | None, dtype: torch.dtype, tokenizer: Any
) -> tuple[Any, Any]:
    if contents is not None and contents.is_adapter:
        folder = contents.folder or downloaded_adapter(source)
        return _read_adapter(folder, contents, dtype, tokenizer)
    if contents is not None:
        check_files(contents)
        if tokenizer is None:
            check_tokenizer(contents)
    trouble = f"can't load the model {source!r}" if contents is None else contents.trouble
    config = read_config(source, trouble)
    check_config(config, source)
    tokenizer = read_tokenizer(source) if tokenizer is None else tokenizer
    return _read_weights(source, config, dtype, trouble), tokenizer


def _read_adapter(
    folder: Path, contents: Contents, dtype: torch.dtype, tokenizer: Any
) -> tuple[Any, Any]:
    base = base_of(folder)
    if tokenizer is None and contents.has_tokenizer:
        tokenizer = read_tokenizer(folder)
    try:
        base_model, tokenizer = _read_base(base, dtype, tokenizer)
    except RoleLensError as error:
        raise RoleLensError(
            f"the adapter {folder} needs its base model {base!r}: {error}"
        ) from error
    return merged(folder, base_model), tokenizer


def _read_base(name: str, dtype: torch.dtype, tokenizer: Any) -> tuple[Any, Any]:
    """As `read_folder`, of a model that may be on the hub."""
    folder = local_folder(name)
    if folder is not None:
        return read_folder(folder, dtype, tokenizer)
    found = look_up(name)
    with found.network():
        return read_from_hub(found, dtype, tokenizer)


def _read_weights(source: str, config: Any, dtype: torch.dtype, trouble: str) -> Any:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    writes = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    kind: Any = (
        transformers.AutoModelForCausalLM if writes else transformers.AutoModelForImageTextToText
    )
    try:
        # TransformerLens needs eager attention for its hooks on scores and patterns.
        hf_model, info = kind.from_pretrained(
            source,
            dtype=dtype,
            attn_implementation="eager",
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, safetensors and torch raise many kinds
        raise RoleLensError(f"{trouble}: {explained(error, source)}") from error
    check_loaded(info, source)
    return hf_model
