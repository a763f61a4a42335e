"""Merges a LoRA adapter into its base model, with peft.

    merged("my-lora", base_model)     # a plain transformers model

Adapters that can't be merged, such as prompt tuning, are refused: they are no change of weights.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.loading.contents import ADAPTER
from role_lens.loading.reasons import reason


def base_of(adapter: Path) -> str:
    """Name or path of the model that the adapter in a folder belongs to.

    Raises:
        RoleLensError: the adapter's config can't be read or doesn't say it, or there is no peft.
    """
    try:
        config = json.loads((adapter / ADAPTER).read_bytes())
        base = config["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RoleLensError(
            f"{adapter / ADAPTER} can't be read ({reason(error)}): expected what peft's "
            "save_pretrained writes"
        ) from error
    if not isinstance(base, str) or not base:
        raise RoleLensError(
            f"{adapter} is an adapter that doesn't say of which model: {by_hand('its base model')}"
        )
    if not is_installed("peft"):
        raise RoleLensError(
            f"{adapter} is an adapter (such as LoRA's) of the base model {base!r}, not a whole "
            f"model: pip install peft, and it is merged into it; or {by_hand(repr(base))}"
        )
    return base


def merged(adapter: Path, base_model: Any) -> Any:
    """The base model, a transformers model, with the adapter in a folder merged into its weights.

    Raises:
        RoleLensError: they don't fit each other, or such an adapter can't be merged.
    """
    from peft import PeftModel

    try:
        return without_adapter(PeftModel.from_pretrained(base_model, str(adapter)), str(adapter))
    except RoleLensError:
        raise
    except Exception as error:  # peft's and torch's own
        raise RoleLensError(
            f"the adapter {adapter} doesn't fit its base model ({reason(error)}): "
            + by_hand("the right one")
        ) from error


def without_adapter(peft_model: Any, name: str) -> Any:
    """The plain transformers model of a peft model, with what the adapter does in its weights.

    Raises:
        RoleLensError: such an adapter can't be merged.
    """
    # Prompt tuning and its like have no such function: it is looked for in the plain model then.
    if not hasattr(peft_model, "merge_and_unload"):
        raise RoleLensError(
            f"{name} has an adapter that is no change of weights "
            f"({type(peft_model).__name__}): expected one that peft can merge, such as LoRA's"
        )
    return peft_model.merge_and_unload()


def is_installed(package: str) -> bool:
    """Whether a package is installed. It is not imported to find out."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # e.g. None stands for it among the loaded modules
        return False


def by_hand(base: str) -> str:
    """How a user merges an adapter."""
    return (
        f"load {base} with transformers, merge it with peft (PeftModel.from_pretrained(base, "
        "adapter).merge_and_unload()), and hand it over: load_model(merged, tokenizer=tokenizer)"
    )
