"""Finds out whether the Hugging Face hub answers, and does without it if not.

    found = look_up("org/model")
    with found.network():                    # none, if the hub can't be reached
        AutoTokenizer.from_pretrained(found.name)

The hub's own client tries again and again for every file: minutes, for a model that is in the local
cache.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from role_lens.errors import RoleLensError
from role_lens.loading.contents import ADAPTER, CONFIG, Contents, contents_of
from role_lens.loading.kinds import explained
from role_lens.loading.reasons import reason
from role_lens.process_setting import ProcessSetting

_SERVER_ERROR = 500
# One of these is in the local cache if the whole is.
_SIGNS = {
    "model": (CONFIG, ADAPTER),
    "tokenizer": ("tokenizer_config.json", "tokenizer.json", CONFIG),
}


@dataclass(frozen=True)
class OnHub:
    """A model or a tokenizer on the hub, and how its files are to be had."""

    name: str
    """Its id there."""
    contents: Contents | None
    """Its files, where they are known."""
    unreachable: str | None
    """Why the hub can't be asked; None if it answers."""

    def network(self) -> AbstractContextManager[None]:
        """What to load it in: without a network, if the hub can't be reached."""
        return nullcontext() if self.unreachable is None else _offline.held()


def may_be_an_id(name: str | Path) -> bool:
    """Whether something on the hub could have this name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(str(name))
    except HFValidationError:
        return False
    return not isinstance(name, Path)


def look_up(name: str, what: Literal["model", "tokenizer"] = "model") -> OnHub:
    """Ask the hub about a model or a tokenizer, once.

    Args:
        name: a Hugging Face id, or an older name of TransformerLens's for one, such as
            "gpt2-small".

    Raises:
        RoleLensError: the hub can't be reached, and it isn't in the local cache.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    name = _official(name)
    trouble = f"can't load the {what} {name!r}"
    try:
        info = HfApi().model_info(name, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except RepositoryNotFoundError:
        return OnHub(name, None, None)  # what loads it says more
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code < _SERVER_ERROR:
            return OnHub(name, None, None)
        unreachable = reason(error)
    except Exception as error:  # of the hub's client and of what it is built on
        unreachable = reason(error)
    else:
        names = frozenset(one.rfilename for one in info.siblings or () if "/" not in one.rfilename)
        return OnHub(name, Contents(trouble, names), None)
    folder = _cached(name, what)
    if folder is None:
        raise RoleLensError(
            f"{trouble}: it is no local folder and not in the local cache, and the Hugging Face "
            f"hub can't be reached ({unreachable}): check the name and the network"
        )
    return OnHub(name, Contents(trouble, contents_of(folder).files, folder), unreachable)


def downloaded_adapter(name: str) -> Path:
    """A folder with an adapter of the hub, and with its tokenizer.

    Raises:
        RoleLensError: it can't be downloaded.
    """
    from huggingface_hub import snapshot_download

    try:
        wanted = [ADAPTER, "adapter_model.*", "tokenizer*", "*.model", "vocab.*", "merges.txt"]
        wanted += ["special_tokens_map.json", "added_tokens.json", "chat_template*"]
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # of the hub's client and of what it is built on
        raise RoleLensError(f"can't load the adapter {name!r}: {explained(error, name)}") from error


def _official(name: str) -> str:
    from transformer_lens.supported_models import MODEL_ALIASES

    return next((one for one, older in MODEL_ALIASES.items() if name in older), name)


def _is_offline() -> bool:
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def _set_offline(offline: bool) -> None:
    """As the variable HF_HUB_OFFLINE does, which the hub's client reads when it is imported."""
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = offline


_offline = ProcessSetting(_is_offline, _set_offline, True)


def _cached(name: str, what: str) -> Path | None:
    """The folder of the local cache that holds it."""
    from huggingface_hub import try_to_load_from_cache

    for file in _SIGNS[what]:
        found = try_to_load_from_cache(name, file)
        if isinstance(found, str):
            return Path(found).parent
    return None
