"""Loads a TransformerLens model, and tells what differs between models.

    model = load_model("smollm2-135m-instruct")    # or a Hugging Face id, a folder, a .gguf file

A model is a `TransformerBridge` (TransformerLens 3.9 and 4.x) or, where the installed
TransformerLens still has it, a `HookedTransformer`; only this file names these classes.
TransformerLens and transformers take seconds to import, and are imported when they are first
needed.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import torch

from role_lens.chat import bound_template, use_template_kwargs
from role_lens.checks import whole_number
from role_lens.errors import RoleLensError, first_line, warn
from role_lens.files import as_path
from role_lens.loading.folders import local_folder, read_folder, read_from_hub
from role_lens.loading.gguf import PACKAGED_MODEL
from role_lens.loading.handed_over import is_transformers_model, name_of, own_copy, refusal
from role_lens.loading.hub import look_up
from role_lens.loading.kinds import check_config
from role_lens.loading.reasons import reason
from role_lens.loading.tokenizers import usable_tokenizer
from role_lens.torch_defaults import plain_torch
from role_lens.values import shown

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    Model: TypeAlias = TransformerBridge
else:
    Model = Any  # so that annotations import nothing


def load_model(
    name: "str | Path | Model",
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    tokenizer: Any = None,
    *,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Load a TransformerLens model, ready for inference: in evaluation mode.

    The same model is loaded whatever default type, device or gradient mode torch is set to. Nothing
    is asked on the terminal, and code that comes with a model is never run.

    Args:
        name: `"smollm2-135m-instruct"` (the packaged model), a Hugging Face model id, a local model
            folder, or a `.gguf` file. A folder or id of a LoRA adapter, which is merged into its
            base model if peft is installed. A transformers model, with its tokenizer: its weights
            are shared, and all else of it stays as it is (where peft has wrapped it, a copy with
            the adapter merged is taken). Or a TransformerLens model, which is returned, put into
            evaluation mode.
        device: where to put the weights, such as `"cpu"` or `"cuda"`; None leaves it to
            TransformerLens.
        dtype: type of the weights and activations, such as `torch.bfloat16` or `"bfloat16"`; None
            for float32.
        tokenizer: a transformers tokenizer, or the folder or Hugging Face id of one; needed with a
            transformers model. Otherwise it takes the place of the model's own.
        chat_template_kwargs: arguments of the tokenizer's chat template beside the conversation,
            such as `{"enable_thinking": False}`, for all that is asked of the model; None to leave
            them as they are.

    Raises:
        RoleLensError: the model or its tokenizer can't be found or read, the model is no
            decoder-only language model or none that TransformerLens runs, it needs code of its own,
            `dtype` is no floating-point type, `device` or `dtype` was given for a model that is
            already built, or the chat template doesn't use one of its arguments.

    Warns:
        UserWarning: `dtype` has two bytes, and float32 would be faster on this CPU.

    Examples:
        >>> small = load_model("smollm2-135m-instruct")    # doctest: +SKIP
        >>> load_model(model) is model    # one that is already built comes back as it is
        True
        >>> tuned = load_model(hf_model, tokenizer=tokenizer)    # doctest: +SKIP
    """
    if _is_built(name):
        model = _built(name, device, dtype, tokenizer)
    elif is_transformers_model(name):
        model = _handed_over(name, device, dtype, tokenizer)
    elif isinstance(name, (str, Path)):
        model = _named(name, device, dtype, tokenizer)
    else:
        raise RoleLensError(refusal(name))
    if chat_template_kwargs is not None:
        use_template_kwargs(model, chat_template_kwargs)
    return model


def model_name(model: Model) -> str:
    """The name under which a model was loaded."""
    return str(model.cfg.model_name)


def weight_processing(model: Model) -> str:
    """How TransformerLens changed the weights: `"none"` or the kind of processed model.

    Folding layer norms and centring writing weights change the residual stream and so the
    directions read from it.
    """
    if not is_bridge(model):
        # HookedTransformer drops the learned scale of a norm that it folded ("LN" -> "LNPre").
        folded = str(getattr(model.cfg, "normalization_type", None)).endswith("Pre")
        return "hooked_transformer_folded" if folded else "none"
    return "compatibility_mode" if getattr(model, "compatibility_mode", False) else "none"


def is_bridge(model: Model) -> bool:
    """Whether the model is a TransformerBridge (else it is a HookedTransformer)."""
    from transformer_lens.model_bridge import TransformerBridge

    return isinstance(model, TransformerBridge)


def _is_built(model: object) -> TypeGuard[Model]:
    """Whether it is a TransformerLens model of either class; nothing is imported to find out."""
    # HookedTransformer was removed in TransformerLens 4.0, so that it can't be named everywhere.
    names = {"TransformerBridge", "HookedTransformer"}
    return any(
        base.__name__ in names and base.__module__.startswith("transformer_lens")
        for base in type(model).__mro__
    )


def check_model(model: object) -> None:
    """Raise a RoleLensError unless it is a TransformerLens model."""
    if not _is_built(model):
        hint = shown(model)
        if is_transformers_model(model):
            hint = "load_model(model, tokenizer=tokenizer) makes one of it"
        raise RoleLensError(
            f"expected a model that load_model gives, got {type(model).__name__}: {hint}"
        )


def check_layer(model: Model, layer: Any) -> int:
    """The number of a layer that the model has, of Python's own type.

    Raises:
        RoleLensError: it has none of this number.
    """
    number = whole_number(layer, "a layer")
    if not 0 <= number < model.cfg.n_layers:
        raise RoleLensError(
            f"layer {number} is out of range: the model has layers 0 to {model.cfg.n_layers - 1}"
        )
    return number


def has_sliding_window(model: Model) -> bool:
    """Whether some of the model's attention reaches back a limited number of columns only."""
    config: Any = getattr(model.original_model, "config", None) if is_bridge(model) else model.cfg
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()  # of a model that sees images too
    names = ("sliding_window", "attention_chunk_size", "window_size", "use_local_attn")
    return any(bool(getattr(config, name, None)) for name in names)


def own_tokenizer(model: Model) -> Any:
    """The tokenizer as transformers loads it, with the model's arguments in its chat template.

    TransformerLens's copy puts a BOS token before every text, whether the model expects one or not.

    Raises:
        RoleLensError: it can't be loaded again.
    """
    from transformers import AutoTokenizer

    source = model.tokenizer.name_or_path
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # transformers and the hub client raise many kinds
        raise RoleLensError(
            f"can't load the tokenizer again from {source!r}: {first_line(error)}"
        ) from error
    tokenizer.chat_template = bound_template(model)
    return tokenizer


def slow_in_two_bytes(device: str | torch.device | None = None) -> bool:
    """Whether the device is a CPU that multiplies faster in float32 than in bfloat16 or float16."""
    on_cpu = str(device or default_device()).startswith("cpu")
    return on_cpu and torch.backends.cpu.get_cpu_capability() == "AVX2"


def default_device() -> torch.device:
    """Where TransformerLens puts a model that is given no device."""
    from transformer_lens.utilities import get_device

    return torch.device(get_device())


def _floating_point(dtype: torch.dtype | str | None) -> torch.dtype:
    given = torch.float32 if dtype is None else dtype
    found = getattr(torch, given, None) if isinstance(given, str) else given
    if not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise RoleLensError(
            f"dtype must be one such as 'float32' or 'bfloat16', got {shown(dtype)}"
        )
    return found


def _available(device: str | torch.device | None) -> torch.device:
    """The device, found out before weights are read."""
    try:
        wanted = torch.device(device) if device is not None else default_device()
        torch.empty(0, device=wanted)
    except Exception as error:  # torch's, of several kinds
        raise RoleLensError(
            f"device must be one that is there, such as 'cpu' or 'cuda', got {shown(device)} "
            f"({reason(error)})"
        ) from error
    return wanted


def _refuse_moving(device: str | torch.device | None, dtype: torch.dtype | str | None) -> None:
    """Raise a RoleLensError if a model that is already built is to be moved or cast."""
    if device is not None or dtype is not None:
        raise RoleLensError(
            "got a device or dtype for a model that is already built: move or cast it before "
            "handing it to load_model"
        )


def _built(
    model: Model,
    device: str | torch.device | None,
    dtype: torch.dtype | str | None,
    tokenizer: Any,
) -> Model:
    """A TransformerLens model as it is, with dropout off."""
    _refuse_moving(device, dtype)
    if tokenizer is not None:
        raise RoleLensError(
            "got a tokenizer for a TransformerLens model, which has one: set it where that model "
            "is built"
        )
    model.eval()
    return model


def _handed_over(
    hf_model: Any,
    device: str | torch.device | None,
    dtype: torch.dtype | str | None,
    tokenizer: Any,
) -> Model:
    """A transformers model, on its device and of its type."""
    _refuse_moving(device, dtype)
    if tokenizer is None:
        raise RoleLensError(
            "a transformers model comes without its tokenizer: load_model(model, "
            "tokenizer=tokenizer)"
        )
    name = name_of(hf_model)
    check_config(hf_model.config, name)
    with plain_torch():
        return _boot(name, own_copy(hf_model), usable_tokenizer(tokenizer), hf_model.dtype)


def _named(
    name: str | Path,
    device: str | torch.device | None,
    dtype: torch.dtype | str | None,
    tokenizer: Any,
) -> Model:
    """A model from a folder, from a file or from the hub."""
    floating, place = _floating_point(dtype), _available(device)
    if floating.itemsize == 2 and slow_in_two_bytes(place):
        warn(
            f"this CPU has no AVX-512, and multiplies in {floating} by conversion: "
            "float32 is several times as fast, for twice the memory"
        )
    # oneDNN, which multiplies in bfloat16 on a CPU, keeps a workspace for each of the last 1,024
    # shapes: gigabytes, where batches differ in length. It reads this before its first product.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    with plain_torch():
        own = None if tokenizer is None else usable_tokenizer(tokenizer)
        folder = local_folder(name)
        if folder is not None:
            model = _around(str(folder), *read_folder(folder, floating, own), place, floating)
            # Not before: TransformerLens might take it for a name on the hub.
            model.cfg.model_name = _label(name, folder)
            return model
        found = look_up(str(name))
        with found.network():
            return _around(found.name, *read_from_hub(found, floating, own), place, floating)


def _label(name: str | Path, folder: Path) -> str:
    """The name of a model that is loaded from this computer."""
    if name == PACKAGED_MODEL:
        return PACKAGED_MODEL
    path = as_path(name)
    return path.resolve().name if os.path.isdir(path) else path.stem


def _around(
    name: str, hf_model: Any, tokenizer: Any, device: torch.device, dtype: torch.dtype
) -> Model:
    """A TransformerLens model around a transformers model that has just been read."""
    try:
        # Of a model that it is handed, TransformerLens records the device but doesn't move it.
        hf_model = hf_model.to(device)
    except Exception as error:  # such as a GPU's lack of memory
        raise RoleLensError(f"can't put {name} on {device}: {reason(error)}") from error
    return _boot(name, hf_model, tokenizer, dtype)


def _boot(name: str, hf_model: Any, tokenizer: Any, dtype: torch.dtype) -> Model:
    """A TransformerLens model around a transformers model, which it changes."""
    from transformer_lens.model_bridge import TransformerBridge

    try:
        model = TransformerBridge.boot_transformers(
            name,
            hf_model=hf_model,
            tokenizer=tokenizer,
            device=hf_model.device,
            dtype=dtype,
        )
    except Exception as error:
        raise RoleLensError(f"TransformerLens can't take {name}: {reason(error)}") from error
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model
