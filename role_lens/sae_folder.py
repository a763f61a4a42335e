"""Reads a sparse autoencoder (SAE) of the residual stream from a folder as SAELens writes it.

    sae = read_sae("sae")
    sae.layer, sae.latents(activations)

The folder holds `cfg.json`, which names the hook, and `sae_weights.safetensors`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import einops
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.errors import RoleLensError, first_line

_HOOKS: dict[str, Literal["input", "output"]] = {
    "hook_resid_pre": "input",
    "hook_resid_post": "output",
}
_ARCHITECTURES = ("standard", "jumprelu", "topk")


@dataclass(frozen=True, eq=False)
class SAE:
    """A sparse autoencoder: what it is of, and its weights by the names of SAELens."""

    hook: str
    """The hook point whose stream it is of, such as `blocks.12.hook_resid_pre`."""
    block: int
    """The number in the hook's name."""
    convention: Literal["input", "output"]
    """Whether it is of the block's input or output."""
    decoder: Float[Tensor, "latent d_model"]
    weights: Mapping[str, Tensor]
    config: Mapping[str, Any]

    @property
    def layer(self) -> int:
        """The block whose input it is of."""
        return self.block + (self.convention == "output")

    def latents(
        self, activations: Float[Tensor, "prompt d_model"]
    ) -> Float[Tensor, "prompt latent"]:
        """How active each latent is.

        Raises:
            RoleLensError: an architecture or a normalisation that isn't known here, or weights of
                the encoder that are missing.
        """
        architecture = self.config.get("architecture") or "standard"
        if self.config.get("activation_fn_str") == "topk" or self.config.get("activation_fn") == (
            "topk"
        ):
            architecture = "topk"  # as older versions say it
        normalised = self.config.get("normalize_activations") or "none"
        function = self.config.get("activation_fn_str") or self.config.get("activation_fn")
        if function not in (None, "relu", "topk"):
            raise RoleLensError(
                f"an SAE with the activation function {function!r} can't be run here"
            )
        if architecture not in _ARCHITECTURES or normalised != "none":
            raise RoleLensError(
                f"an SAE of architecture {architecture!r} and normalisation {normalised!r} can't "
                f"be run here: expected {', '.join(_ARCHITECTURES)} without normalisation"
            )
        encoder, bias = self._weight("W_enc"), self._weight("b_enc")
        stream = activations.float()
        if self.config.get("apply_b_dec_to_input", True):
            stream = stream - self._weight("b_dec")
        before = bias + einops.einsum(
            stream, encoder, "prompt d_model, d_model latent -> prompt latent"
        )
        if architecture == "jumprelu":
            return before.relu() * (before > self._weight("threshold"))
        if architecture == "standard":
            return before.relu()
        k = int(self.config.get("k") or (self.config.get("activation_fn_kwargs") or {}).get("k", 0))
        if not 0 < k <= before.shape[-1]:
            raise RoleLensError("its configuration doesn't say how many latents are active (k)")
        # Scaled where it was trained so (newer versions of SAELens).
        scale = (
            self.decoder.float().norm(dim=-1).clamp(min=1e-12)
            if self.config.get("rescale_acts_by_decoder_norm")
            else torch.ones(before.shape[-1])
        )
        largest = (before * scale).topk(k, dim=-1)
        active = torch.zeros_like(before).scatter(-1, largest.indices, largest.values.relu())
        return active / scale

    def _weight(self, name: str) -> Tensor:
        if name not in self.weights:
            raise RoleLensError(f"it has no {name}, which is needed to run it")
        return self.weights[name].float()


def read_sae(path: Path) -> SAE:
    """Read the folder.

    Raises:
        RoleLensError: it is no such folder, or the SAE is of something else than the residual
            stream.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((path / "cfg.json").read_text("utf-8"))
        weights = load_file(path / "sae_weights.safetensors")
        decoder = weights["W_dec"]
    except (OSError, ValueError, LookupError, SafetensorError) as error:
        raise RoleLensError(
            "it is no folder of SAELens, with cfg.json and W_dec in sae_weights.safetensors: "
            + first_line(error)
        ) from error
    metadata = config.get("metadata") or {}
    hook = str(config.get("hook_name") or metadata.get("hook_name"))
    parts = hook.split(".")
    if len(parts) != 3 or parts[0] != "blocks" or parts[2] not in _HOOKS:
        raise RoleLensError(
            f"its hook is {hook!r}: only those of the residual stream can be taken, such as "
            "blocks.12.hook_resid_pre"
        )
    return SAE(hook, int(parts[1]), _HOOKS[parts[2]], decoder, weights, config)
