"""Finds out under which licence a model is.

    license_of("smollm2-135m-instruct")    # 'apache-2.0'

Cards on the hub name it.
"""

import re
from pathlib import Path
from typing import Any

from role_lens.loading.gguf import PACKAGED_MODEL, is_gguf
from role_lens.loading.hub import may_be_an_id

PACKAGED_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The packaged model on the hub."""
_SECONDS = 5.0
_ABBREVIATION = re.compile(r"[a-z0-9][a-z0-9.-]*")
"""How the hub writes a licence."""


def hub_id(model: Any) -> str | None:
    """The id on the hub of a model by the name that it was loaded under; None if it may have none.

    A name without an owner may be that of a local folder or file.
    """
    if model == PACKAGED_MODEL:
        return PACKAGED_ID
    if not isinstance(model, str) or model.count("/") != 1 or Path(model).exists():
        return None
    return model if may_be_an_id(model) else None


def license_of(model: Any) -> str | None:
    """The licence of a model, as the hub abbreviates it; None where it isn't known.

    It is taken from the model card of a local folder, from a GGUF file, or from the hub, which is
    asked once and may be out of reach.

    Args:
        model: as for `load_model`.
    """
    if not isinstance(model, str):
        return None
    if model == PACKAGED_MODEL:
        return "apache-2.0"
    path = Path(model)
    if path.is_dir():
        found = _of_card(path / "README.md")
    elif path.is_file() and is_gguf(path):
        found = _of_gguf(path)
    else:
        found = _of_hub(model) if hub_id(model) else None
    return found if is_license(found) else None


def is_license(text: Any) -> bool:
    """Whether a text is what the hub takes for a licence."""
    return isinstance(text, str) and _ABBREVIATION.fullmatch(text) is not None


def _of_card(card: Path) -> Any:
    from huggingface_hub import ModelCard

    if not card.exists():
        return None
    try:
        return ModelCard.load(card, ignore_metadata_errors=True).data.get("license")
    except Exception:  # of what parses it: a card of any other form names no licence
        return None


def _of_gguf(path: Path) -> Any:
    from gguf import GGUFReader

    field = GGUFReader(path).get_field("general.license")
    return None if field is None else field.contents()


def _of_hub(name: str) -> Any:
    from huggingface_hub import HfApi

    try:
        data = HfApi().model_info(name, timeout=_SECONDS).card_data
    except Exception:  # no network, no such model, a private one: its licence isn't known then
        return None
    return None if data is None else data.get("license")
