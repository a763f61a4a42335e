"""Finds out with one request whether the Hugging Face hub answers, and does without it if not.

    found = look_up("org/model")
    with found.network():                    # none, if the hub can't be reached
        AutoTokenizer.from_pretrained("org/model")

The hub's own client tries again and again for every file: minutes, for a model that is in the local
cache.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from role_lens.errors import RoleLensError
from role_lens.loading.contents import ADAPTER, CONFIG, Contents, contents_of
from role_lens.loading.reasons import reason

_SERVER_ERROR = 500


@dataclass(frozen=True)
class OnHub:
    """A model's name, and how its files are to be had."""

    name: str
    contents: Contents | None
    """Its files, where they are known."""
    unreachable: str | None
    """Why the hub can't be asked; None if it answers."""

    def network(self) -> AbstractContextManager[None]:
        """What to load it in: without a network, if the hub can't be reached."""
        return nullcontext() if self.unreachable is None else without_network()


def look_up(name: str) -> OnHub:
    """Ask the hub about a model, once.

    Raises:
        RoleLensError: there is no such model; or the hub can't be reached, and the model isn't in
            the local cache.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    try:
        info = HfApi().model_info(name, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except RepositoryNotFoundError:
        return OnHub(name, None, None)  # TransformerLens may know the name as an old one
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code < _SERVER_ERROR:
            return OnHub(name, None, None)
        unreachable = reason(error)
    except Exception as error:  # of the hub's client and of what it is built on
        unreachable = reason(error)
    else:
        names = frozenset(one.rfilename for one in info.siblings or () if "/" not in one.rfilename)
        return OnHub(name, Contents(f"can't load the model {name!r}", names), None)
    folder = _cached(name)
    if folder is None:
        raise RoleLensError(
            f"can't load the model {name!r}: it is no local folder and not in the local cache, and "
            f"the Hugging Face hub can't be reached ({unreachable}): check the name and the network"
        )
    return OnHub(name, contents_of(folder), unreachable)


@contextmanager
def without_network() -> Iterator[None]:
    """As with `HF_HUB_OFFLINE=1`, which the hub's client reads only when it is imported."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _cached(name: str) -> Path | None:
    """The folder of the local cache that holds a model or an adapter."""
    from huggingface_hub import try_to_load_from_cache

    for file in (CONFIG, ADAPTER):
        found = try_to_load_from_cache(name, file)
        if isinstance(found, str):
            return Path(found).parent
    return None
