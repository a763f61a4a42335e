"""Shows the tokens of a text, coloured by how far each lies along a direction.

    project_tokens(model, "Where does it hurt?", direction, layer=22)    # in a notebook: a picture

The drawing is CircuitsVis's, whose JavaScript is put into the page: no network is needed.
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

from role_lens._run.activations import states_of
from role_lens._run.exclusive import has_model_to_itself
from role_lens._run.tokens import check_length, encode_chat
from role_lens.directions import as_vector, unit
from role_lens.models import Model, check_layer
from role_lens.patches.hooks import attached
from role_lens.patches.patch import Patches
from role_lens.patches.token_masks import TokenWindow


@dataclass(frozen=True)
class TokenView:
    """Tokens with a number for each; a notebook shows it as coloured text.

    Examples:
        >>> from role_lens.reading import TokenView
        >>> view = TokenView(("It", " hurts"), (0.5, -2.0))
        >>> view.largest, "ColoredTokens" in view.html()
        (2.0, True)
    """

    tokens: tuple[str, ...]
    """The tokens' texts."""
    values: tuple[float, ...]
    """A number for each, such as a projection; negative ones are orange, positive ones blue."""

    def _repr_html_(self) -> str:
        return f"<script>{circuitsvis_script()}</script>{self.html()}"

    @property
    def largest(self) -> float:
        """The largest absolute value, 0 without tokens."""
        return max((abs(value) for value in self.values), default=0.0)

    def html(self, largest: float | None = None) -> str:
        """The view alone as HTML, for a page that holds `circuitsvis_script` already.

        Args:
            largest: the absolute value that has full colour; None for the view's own largest. Views
                that are to be compared by colour need the same.

        Returns:
            A `<div>` and the script that draws into it.

        Examples:
            >>> TokenView(("a", "b"), (0.5, -2.0)).html(largest=4.0).startswith('<div id="tokens-')
            True
        """
        place = f"tokens-{uuid4().hex}"
        shown: dict[str, Any] = {"tokens": list(map(_text, self.tokens)), "values": self.values}
        end = largest or self.largest or 1.0
        shown |= {"minValue": -end, "maxValue": end}
        shown |= {"negativeColor": "#e08214", "positiveColor": "#053061"}
        call = f"CircuitsVis.render({_script(place)}, CircuitsVis.ColoredTokens, {_script(shown)})"
        return f'<div id="{place}" class="tokens"></div><script>{call}</script>'


@has_model_to_itself
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
    r"""How far each token of a prompt lies along a direction.

    A token's number is the projection x·d/|d|, with x the residual stream entering a block. The
    first token is left out: its residual stream is many times longer than all others' in most
    models, and would take the whole scale of colours (Sun et al. 2024, arXiv 2402.17762).

    Args:
        model: any model of `load_model`.
        prompt: one user turn.
        direction: of any length; only where it points counts.
        layer: the layer whose input is projected.
        patch: a patch or several, attached while the model runs.
        answer: a text that follows the formatted prompt, as if the model had written it.
        system: system message; None for the chat template's own default.

    Returns:
        All tokens of the formatted prompt and the answer but the first, with their projections, in
        the residual stream's units.

    Raises:
        RoleLensError: a layer out of range, a zero direction, an empty prompt, a text longer than
            the model's context, a patch that doesn't fit.

    Examples:
        >>> from role_lens.reading import project_tokens
        >>> view = project_tokens(model, "Tea?", vectors.direction("poet", layer=1), layer=1)
        >>> "".join(view.tokens)
        'user\nTea?<|end|>\n<|start|>assistant\n'
    """
    check_layer(model, layer)
    ids = encode_chat(model, [prompt], system)[0]
    window = TokenWindow(torch.tensor([len(ids)], device=model.cfg.device))
    ids += model.tokenizer(answer, add_special_tokens=False)["input_ids"] if answer else []
    check_length(model, len(ids), prompt)
    with attached(model, patch, window):
        values = states_of(model, ids, layer) @ unit(as_vector(direction))
    words = [model.tokenizer.decode([token]) for token in ids]
    return TokenView(tuple(words[1:]), tuple(values[1:].tolist()))


def views_on_one_scale(
    views: Iterable[tuple[Iterable[str], Iterable[float]]],
) -> tuple[list[TokenView], float]:
    """Makes views of several texts, and finds the scale on which their colours can be compared.

    Args:
        views: of each text the tokens, and a number for each, as a table of results holds them.

    Returns:
        The views, and the largest absolute value in all of them: the `largest` of `TokenView.html`.

    Examples:
        >>> from role_lens.reading import views_on_one_scale
        >>> views, largest = views_on_one_scale([(["It"], [0.5]), (["rains", "."], [-2.0, 1.0])])
        >>> len(views), largest
        (2, 2.0)
    """
    made = [TokenView(tuple(tokens), tuple(map(float, values))) for tokens, values in views]
    return made, max((view.largest for view in made), default=0.0)


def circuitsvis_script() -> str:
    """CircuitsVis's JavaScript, for a page that works without a network.

    Returns:
        The script, from the installed package `circuitsvis`, as it may stand between `<script>`
        tags.

    Examples:
        >>> from role_lens.reading import circuitsvis_script
        >>> script = circuitsvis_script()
        >>> "ColoredTokens" in script, "</script>" in script
        (True, False)
    """
    bundle = importlib.resources.files("circuitsvis") / "dist" / "cdn" / "iife.js"
    return bundle.read_text(encoding="utf-8").replace("</script>", "<\\/script>")


def _text(token: str) -> str:
    """A token that CircuitsVis shows as it is.

    CircuitsVis takes tokens for HTML in the line, where `</s>` would vanish, and for text in the
    tooltip. With an invisible word joiner (U+2060) after `<` and `&`, neither is markup in either.
    """
    return token.replace("<", "<\u2060").replace("&", "&\u2060")


def _script(value: Any) -> str:
    """A value as JavaScript that no text in it can end: tokens may hold anything."""
    text = json.dumps(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
