"""Finds directions as rows of a sparse autoencoder's dictionary, whose latents differ most.

    RoleVectors.fit(model, roles, base, finder=FINDERS["sae"]("sae-folder", n=4))

- Contrast `sae`: the sum over a few latents of how much more active each is on the role's prompts
  than on base prompts, times its row of the decoder. So coefficient 1 adds what the role's prompts
  have more of these latents. Latents are ranked by the length of what each adds.

The dictionary is a folder
of SAELens, of one layer's residual stream; there is no direction at other layers. It takes another
pass over the prompts. Architectures: standard, jumprelu and topk.
"""

from dataclasses import dataclass
from pathlib import Path

import einops
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens.checks import whole_number
from role_lens.errors import RoleLensError
from role_lens.files import as_path
from role_lens.finders._finder import Directions, Finder, FitData
from role_lens.sae_folder import SAE, read_sae
from role_lens.values import errors_of


@dataclass(frozen=True)
class Dictionary(Finder):
    """Rows of a dictionary at its layer and at every position, for contrast `sae`.

    Raises:
        RoleLensError: no folder is named, or `n` is below 1.

    Examples:
        >>> from role_lens.finders import FINDERS
        >>> FINDERS["sae"]("sae-folder", n=4).n
        4
    """

    sae: str | Path = ""
    """The folder, with `cfg.json` and `sae_weights.safetensors`."""
    n: int = 1
    """How many latents are taken."""

    def __post_init__(self) -> None:
        if not str(self.sae):
            raise RoleLensError("finder 'sae' needs a dictionary: name the folder of SAELens")
        object.__setattr__(self, "sae", str(self.sae))
        object.__setattr__(self, "n", whole_number(self.n, "n", least=1))

    def find(self, data: FitData) -> Directions:
        """Find a direction for every role and position, at the dictionary's layer.

        Raises:
            RoleLensError: a dictionary that can't be read or run, of another width, or of a layer
                that the model doesn't have.
        """
        with errors_of(str(self.sae)):
            sae = read_sae(as_path(self.sae))
            n_layers, width = data.role_means.shape[-2:]
            if sae.layer >= n_layers or sae.decoder.shape[-1] != width:
                raise RoleLensError(
                    f"it is of layer {sae.layer} and width {sae.decoder.shape[-1]}, and the model "
                    f"has layers 0 to {n_layers - 1} of width {width}"
                )
            found = torch.full_like(data.role_means, torch.nan)
            base = data.activations(data.base_tokens, [sae.layer])[:, :, 0]
            for role, tokens in enumerate(data.role_tokens):
                own = data.activations(tokens, [sae.layer])[:, :, 0]
                for place in range(len(data.positions)):
                    direction = _rows(sae, own[:, place], base[:, place], self.n)
                    found[role, place, sae.layer] = direction
        return {"sae": found}


def _rows(
    sae: SAE,
    role: Float[Tensor, "role_prompt d_model"],
    base: Float[Tensor, "base_prompt d_model"],
    n: int,
) -> Float[Tensor, " d_model"]:
    more = sae.latents(role).mean(dim=0) - sae.latents(base).mean(dim=0)
    decoder = sae.decoder.float()
    size = more.abs() * decoder.norm(dim=-1)
    rows = size.topk(min(n, len(size))).indices
    return einops.einsum(more[rows], decoder[rows], "latent, latent d_model -> d_model")


FINDER = Dictionary
