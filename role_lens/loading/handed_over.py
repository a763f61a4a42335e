"""Takes a transformers model that was loaded elsewhere, and leaves it to its owner as it was.

    own_copy(hf_model)      # shares the memory of the weights; all else is its own

TransformerLens puts its own modules into the model that it is given.
"""

import copy
import os
from pathlib import Path
from typing import Any

from torch import nn

from role_lens.errors import RoleLensError
from role_lens.loading.adapters import by_hand, without_adapter
from role_lens.loading.reasons import reason


def is_transformers_model(value: object) -> bool:
    """Whether it is a model of transformers, or one that peft has wrapped; nothing is imported."""
    return _is_of(value, "transformers", "PreTrainedModel") or _is_peft_model(value)


def refusal(value: object) -> str:
    """Why what was given is no model, and what to give."""
    expected = (
        "expected a TransformerLens model, a transformers model with its tokenizer, or a name or "
        f"path, got {type(value).__name__}"
    )
    inner = next(
        (
            name
            for name in ("model", "module", "_orig_mod")
            if is_transformers_model(getattr(value, name, None))
        ),
        None,
    )
    if inner is not None:
        return f"{expected}: give the model in it, .{inner}"
    if _is_of(value, "transformers", "PreTrainedTokenizerBase"):
        return f"{expected}: give the model first, and this as tokenizer=..."
    if isinstance(value, dict):
        return f"{expected}: weights alone are no model; load them into one with transformers"
    return expected


def own_copy(hf_model: Any) -> Any:
    """A copy of a transformers model that can be changed without changing the given one.

    Its weights share the memory of the given model's, so that it takes no more; those of a model
    with an adapter are copied, and the adapter is merged into them. The given model keeps its
    modules, its mode, its kind of attention, and which of its weights are trained.

    Raises:
        RoleLensError: it has no unembedding, or an adapter that can't be merged.
    """
    name = name_of(hf_model)
    if _is_peft_model(hf_model):
        try:
            copied = without_adapter(copy.deepcopy(hf_model), name)
        except RoleLensError:
            raise
        except Exception as error:  # peft's and torch's own
            raise RoleLensError(f"can't merge the adapter of {name}: {reason(error)}") from error
    elif getattr(hf_model, "_hf_peft_config_loaded", False):
        raise RoleLensError(f"{name} carries an adapter: {by_hand('its base model')}")
    else:
        memo = {id(one): _sharing(one) for one in hf_model.parameters()}
        copied = copy.deepcopy(hf_model, memo)
    if copied.get_output_embeddings() is None:
        raise RoleLensError(
            f"{name} has no unembedding ({type(copied).__name__}): load it with "
            "AutoModelForCausalLM"
        )
    return copied


def name_of(hf_model: Any) -> str:
    """The name under which a transformers model was loaded: a Hugging Face id, or its folder's."""
    name = str(getattr(hf_model.config, "name_or_path", ""))
    if os.path.isdir(name):
        name = Path(name).resolve().name
    name = name or type(hf_model).__name__
    return f"{name} with an adapter" if _is_peft_model(hf_model) else name


def _sharing(parameter: nn.Parameter) -> nn.Parameter:
    """A parameter of the same numbers in the same memory."""
    if type(parameter) is not nn.Parameter:
        return parameter  # a quantised one, which knows more than its numbers
    numbers = parameter.detach()
    if numbers.is_inference():  # made under torch.inference_mode: nothing can be differentiated
        numbers = numbers.clone()
    return nn.Parameter(numbers, requires_grad=False)


def _is_peft_model(value: object) -> bool:
    return _is_of(value, "peft", "PeftModel")


def _is_of(value: object, package: str, name: str) -> bool:
    """Whether it is of a class of another package, which isn't imported to find out."""
    return any(
        base.__name__ == name and base.__module__.partition(".")[0] == package
        for base in type(value).__mro__
    )
