"""Says whether a model is one that TransformerLens runs and that continues texts.

    check_config(config, "bert-base-uncased")    # "... is a masked language model ..."

Role vectors are read from a decoder-only language model, as it continues a prompt.
"""

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.loading.reasons import causes, reason
from role_lens.versions import package_versions

# `LlamaForCausalLM`, `GPT2LMHeadModel` and `LlavaForConditionalGeneration` write texts; `...For` of
# anything else is another task, for which the unembedding has not been trained.
_OTHER_TASK = re.compile(r"For(?!CausalLM|ConditionalGeneration|ImageTextToText)[A-Z]\w*$")
_KINDS = {
    "seq2seq": "an encoder-decoder model",
    "masked_lm": "a masked (encoder-only) language model",
    "vision": "a model of images",
    "audio": "a model of sounds",
}


def read_config(source: str | Path, trouble: str) -> Any:
    """The config of a model in a folder or on the hub.

    Args:
        trouble: how a message begins.

    Raises:
        RoleLensError: it can't be read, or belongs to code that comes with the model.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # transformers and the hub client raise many kinds
        raise RoleLensError(f"{trouble}: {explained(error, str(source))}") from error


def check_config(config: Any, name: str) -> None:
    """Raise a RoleLensError unless it is of a decoder-only model that TransformerLens runs."""
    from transformer_lens.model_bridge.sources.transformers import (
        determine_architecture_from_hf_config,
    )
    from transformer_lens.utilities.architectures import classify_architecture

    declared = [str(one) for one in getattr(config, "architectures", None) or ()]
    shown = " or ".join(declared) or str(getattr(config, "model_type", "an unknown one"))
    if getattr(config, "is_encoder_decoder", False):
        raise RoleLensError(_refused(name, _KINDS["seq2seq"], shown))
    if declared and all(_OTHER_TASK.search(one) for one in declared):
        masked = all(one.endswith("ForMaskedLM") for one in declared)
        kind = _KINDS["masked_lm"] if masked else "a model for another task"
        raise RoleLensError(_refused(name, kind, shown))
    try:
        architecture = determine_architecture_from_hf_config(config)
    except ValueError as error:
        raise RoleLensError(
            f"{name} has the architecture {shown}, which TransformerLens "
            f"{package_versions()['transformer-lens']} doesn't support"
        ) from error
    kind = classify_architecture(architecture)
    if kind in _KINDS:
        raise RoleLensError(_refused(name, _KINDS[kind], shown))
    if kind == "multimodal" and importlib.util.find_spec("torchvision") is None:
        # TransformerLens would install it, without asking.
        raise RoleLensError(
            f"{name} takes images too ({shown}), for which TransformerLens needs torchvision: "
            "pip install torchvision"
        )


def check_loaded(info: Mapping[str, Any], name: str) -> None:
    """Raise a RoleLensError where weights were not in the files, and are random numbers therefore.

    Args:
        info: what transformers says of the loading (`output_loading_info`).
    """
    absent = sorted(info.get("missing_keys") or ())
    if absent:
        raise RoleLensError(
            f"{name} lacks weights of the model that it says it is ({len(absent)} tensors, such as "
            f"{absent[0]}): it may be of another task, or not whole"
        )


def explained(error: BaseException, name: str) -> str:
    """Why a model can't be loaded, in one line, which says what to do where that is known."""
    if any("trust_remote_code" in str(one) for one in causes(error)):
        return (
            "it needs code that comes with it, which load_model doesn't run: if you trust it, "
            "load model and tokenizer with transformers (trust_remote_code=True), and hand over "
            "both: load_model(hf_model, tokenizer=tokenizer)"
        )
    if any("GatedRepo" in type(one).__name__ for one in causes(error)):
        return (
            f"it is gated: accept its terms at https://huggingface.co/{name}, and log in with "
            "`hf auth login`"
        )
    return reason(error)


def _refused(name: str, kind: str, architecture: str) -> str:
    return (
        f"{name} is {kind} ({architecture}): expected a decoder-only language model, which "
        "continues texts"
    )
