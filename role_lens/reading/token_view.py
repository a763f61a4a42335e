"""Shows tokens coloured by how far they lie along a direction, with CircuitsVis and without a network.

project_tokens(model, "Where does it hurt?", direction, layer=22)    # shows itself in a notebook
"""

import importlib.resources
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.tokens import check_length, encode_chat
from role_lens.directions import unit
from role_lens.models import Model, check_layer
from role_lens.patches.attached import attached
from role_lens.patches.patch import Patches
from role_lens.patches.token_masks import TokenWindow


@dataclass(frozen=True)
class TokenView:
    """Tokens and a number for each; shows itself in a notebook."""

    tokens: tuple[str, ...]
    values: tuple[float, ...]

    def _repr_html_(self) -> str:
        return f"<script>{circuitsvis_script()}</script>{self.html()}"

    @property
    def largest(self) -> float:
        """The largest size of a value."""
        return max((abs(value) for value in self.values), default=0.0)

    def html(self, largest: float | None = None) -> str:
        """The view alone, for a page that holds `circuitsvis_script` already.

        Args:
            largest: value of the full colour; default: the view's own. Views that are to be
                compared by colour need the same.
        """
        place = f"tokens-{uuid4().hex}"
        shown: dict[str, Any] = {"tokens": list(map(_text, self.tokens)), "values": self.values}
        end = largest or self.largest or 1.0
        shown |= {"minValue": -end, "maxValue": end}
        shown |= {"negativeColor": "#e08214", "positiveColor": "#053061"}
        call = f"CircuitsVis.render({_script(place)}, CircuitsVis.ColoredTokens, {_script(shown)})"
        return f'<div id="{place}" class="tokens"></div><script>{call}</script>'


@torch.inference_mode()
def project_tokens(
    model: Model,
    prompt: str,
    direction: Float[Tensor, " d_model"],
    layer: int,
    patch: Patches = None,
    *,
    answer: str = "",
    system: str | None = None,
) -> TokenView:
    """Projection x·d/|d| of the residual stream entering a block, for every token of a prompt.

    The first token is left out: its residual stream is many times longer than all others', in most
    models, and would take the whole scale (Sun et al. 2024, arXiv 2402.17762).

    Args:
        patch: attached while the model runs.
        answer: what follows the formatted prompt.

    Raises:
        RoleLensError: a layer out of range, a zero direction, an empty prompt, an answer that
            exceeds the model's context.
    """
    check_layer(model, layer)
    ids = encode_chat(model, [prompt], system)[0]
    window = TokenWindow(torch.tensor([len(ids)], device=model.cfg.device))
    ids += model.tokenizer(answer, add_special_tokens=False)["input_ids"] if answer else []
    check_length(model, len(ids), prompt)
    tokens = torch.tensor([ids], device=model.cfg.device)
    kept: list[Tensor] = []

    def keep(x: Tensor, hook: Any) -> None:
        kept.append(x[0].float().cpu())

    name = f"blocks.{layer}.hook_resid_pre"
    with attached(model, patch, window), model.hooks(fwd_hooks=[(name, keep)]):
        model(tokens)
    values = kept[0] @ unit(direction.detach().float().cpu())
    words = [model.tokenizer.decode([token]) for token in ids]
    return TokenView(tuple(words[1:]), tuple(values[1:].tolist()))


def views_on_one_scale(
    views: Iterable[tuple[Iterable[str], Iterable[float]]],
) -> tuple[list[TokenView], float]:
    """Views of tokens and their numbers as a table holds them, and the value of their common full
    colour."""
    made = [TokenView(tuple(tokens), tuple(map(float, values))) for tokens, values in views]
    return made, max((view.largest for view in made), default=0.0)


def circuitsvis_script() -> str:
    """CircuitsVis's own JavaScript, which the package brings along."""
    bundle = importlib.resources.files("circuitsvis") / "dist" / "cdn" / "iife.js"
    return bundle.read_text(encoding="utf-8").replace("</script>", "<\\/script>")


def _text(token: str) -> str:
    """A token that CircuitsVis shows as it is.

    It takes tokens for HTML in the line, where `</s>` would vanish, and for text in the tooltip.
    With an invisible word joiner (U+2060) behind it, neither sign is markup in either.
    """
    return token.replace("<", "<\u2060").replace("&", "&\u2060")


def _script(value: Any) -> str:
    """As JavaScript that no text can end: tokens may hold anything."""
    text = json.dumps(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
