"""Gives torch its usual defaults for a while, whatever the caller has set.

    with usual_defaults():
        torch.zeros(3)    # float32 and on the CPU

The default type belongs to all threads of a process. While transformers makes a model, it sets
another one for a moment, which can't be told from what the caller has set: a thread that comes here
at that moment sets it again in the end. Models that `load_model` makes are made in here too, and do
no such harm.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from role_lens.process_setting import ProcessSetting

_float32_by_default = ProcessSetting(
    torch.get_default_dtype, torch.set_default_dtype, torch.float32
)
_WITH_AUTOCAST = [
    kind for kind in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(kind)
]


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Let new tensors be float32 and on the CPU unless they say otherwise, outside of autocast."""
    with ExitStack() as stack:
        stack.enter_context(_float32_by_default.held())
        for kind in _WITH_AUTOCAST:
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
