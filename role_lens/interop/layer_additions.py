"""Sums up what patches add at each layer, for runtimes that can add and nothing else.

    additions(vectors.add("nurse", layer=15), "llama.cpp")    # {15: d_model numbers}

Other kinds of patch, and masks of tokens, are refused.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.errors import RoleLensError
from role_lens.patches.patch import Patches, combined


def additions(patches: Patches, runtime: str) -> dict[int, Float[Tensor, " d_model"]]:
    """What is added to the input of each layer, coefficients multiplied in.

    Args:
        patches: one or several that act together, of which all must add, and to all tokens.
        runtime: what is to do it, for messages.

    Raises:
        RoleLensError: no patch, or one that can't be expressed as an addition to all tokens.

    Examples:
        >>> from role_lens.interop import additions
        >>> both = Patch.add(torch.ones(2), layer=1), Patch.add(torch.ones(2), layer=(1, 2))
        >>> additions(both, "llama.cpp")
        {1: tensor([2., 2.]), 2: tensor([1., 1.])}
    """
    found: dict[int, Tensor] = {}
    several = combined(patches)
    if not several:
        raise RoleLensError("expected at least one patch to export, got none")
    widths = {len(one.direction) for one in several}
    if len(widths) > 1:
        raise RoleLensError(
            f"patches that act together must be of one model, got directions of {sorted(widths)} "
            "dimensions"
        )
    for patch in several:
        more = {
            "a gate": patch.gate is not None,
            f"kind {patch.kind!r}": patch.kind != "add",
            f"tokens={patch.tokens!r}": patch.tokens != "all",
        }
        for whose in (name for name, has in more.items() if has):
            raise RoleLensError(
                f"{runtime} can only add, and to all tokens, so that a patch with {whose} can't be "
                "expressed: hand it over as a file of role_lens (a .safetensors file)"
            )
        for place, layer in enumerate(patch.layers):
            whole = patch.number_at(place) * patch.direction
            found[layer] = found[layer] + whole if layer in found else whole
    for layer, whole in found.items():
        if not bool(torch.isfinite(whole).all()):
            raise RoleLensError(f"what is added at layer {layer} is not finite: lower coefficients")
        if not whole.any():
            raise RoleLensError(
                f"what is added at layer {layer} is zero: the coefficient is, or patches cancel"
            )
    return dict(sorted(found.items()))
