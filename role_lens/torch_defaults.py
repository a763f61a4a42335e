"""Gives torch its usual defaults for a while, whatever the caller has set.

    with usual_defaults():
        torch.zeros(3)    # float32 and on the CPU

Defaults of type belong to all threads of a process, so that those who need them are counted.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_counting = threading.Lock()
_before: list[torch.dtype] = []
_users = 0


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Let new tensors be float32 and on the CPU unless they say otherwise, outside of autocast."""
    with ExitStack() as stack:
        stack.enter_context(_float32_by_default())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def plain_torch() -> Iterator[None]:
    """The usual defaults, and tensors that can have gradients, as a model is loaded under.

    A model that is made in inference mode, or under other defaults, would be another one, or could
    never be differentiated.
    """
    with usual_defaults(), torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def _float32_by_default() -> Iterator[None]:
    """Make float32 the default type of all threads until the last that needs it has left."""
    global _users
    with _counting:
        if _users == 0:
            _before[:] = [torch.get_default_dtype()]
        if torch.get_default_dtype() != torch.float32:
            torch.set_default_dtype(torch.float32)
        _users += 1
    try:
        yield
    finally:
        with _counting:
            _users -= 1
            if _users == 0 and torch.get_default_dtype() != _before[0]:
                torch.set_default_dtype(_before[0])
