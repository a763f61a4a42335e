"""Keeps settings of the caller's from changing the model that is loaded.

with plain_torch():
    model = AutoModelForCausalLM.from_pretrained(folder)
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def plain_torch() -> Iterator[None]:
    """Torch as it is by itself: float32 and CPU by default, and tensors that can have gradients.

    A model that is made under `torch.set_default_dtype`, `torch.set_default_device` or
    `torch.inference_mode` would be another one, or could never be differentiated.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)
