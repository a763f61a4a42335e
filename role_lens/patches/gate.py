"""Decides for each prompt whether a patch acts: only where the prompt lies far enough along a
direction.

    gate = Gate.fit(model, legal, layer=12, opening=legal_prompts, closed=other_prompts)
    generate(model, prompts, patch=patch.behind(gate))

The decision is taken once, from the prompt in the unpatched model, and holds for the whole answer;
of a question with options the prompt is all that stands before the option that is scored.
So a prompt gets exactly what it would get with the patch, or without it (conditional activation
steering, Lee et al. 2024, arXiv 2409.05907).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import einops
import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from role_lens._run.activations import activations_at
from role_lens._run.fingerprint import Fingerprint, check_fingerprint, fingerprint
from role_lens._run.tokens import encode_chat
from role_lens.checks import real_number, whole_number
from role_lens.conversation import Prompt
from role_lens.directions import as_vector, unit
from role_lens.errors import RoleLensError
from role_lens.models import Model, check_layer, check_model

if TYPE_CHECKING:
    from role_lens.patches.patch import Combined


@dataclass(frozen=True, eq=False, repr=False)
class Gate:
    """Lets a patch act where a prompt's projection on a direction is above a threshold.

    Examples:
        >>> gate = Gate(vectors.direction("poet", layer=1), layer=1, threshold=0.0)
        >>> vectors.add("poet", layer=2).behind(gate)
        Patch(add, layers [2], value 1, tokens all, |d| 4.25, behind Gate(layer 1, ... above 0))
    """

    direction: Float[Tensor, " d_model"]
    """The unit vector on which prompts are projected; float32. A longer one is normalised."""
    layer: int
    """The layer whose input is projected, counted from 0."""
    threshold: float
    """What the projection has to exceed, in the residual stream's units."""
    position: int = -1
    """The token that is projected, counted from the end of the formatted prompt: -1 is the last."""
    fingerprint: Fingerprint | None = None
    """Fingerprint of the model whose prompts set the threshold; None where it is unknown."""

    def __post_init__(self) -> None:
        given = as_vector(self.direction)
        length_one = unit(given)  # refuses a zero or non-finite one
        # A unit vector that is normalised again may differ in its last digit.
        same = torch.allclose(given, length_one, rtol=1e-5, atol=1e-6)
        object.__setattr__(self, "direction", given if same else length_one)
        object.__setattr__(self, "layer", whole_number(self.layer, "a gate's layer", least=0))
        object.__setattr__(self, "position", whole_number(self.position, "a gate's position"))
        object.__setattr__(self, "threshold", real_number(self.threshold, "a gate's threshold"))
        if self.position >= 0:
            raise RoleLensError(
                "a gate's position counts from the end of the prompt, -1 is the last token; got "
                f"{self.position}"
            )

    def __repr__(self) -> str:
        return f"Gate(layer {self.layer}, position {self.position}, above {self.threshold:g})"

    @staticmethod
    def fit(
        model: Model,
        direction: Float[Tensor, " d_model"],
        *,
        layer: int,
        opening: Sequence[Prompt],
        closed: Sequence[Prompt],
        position: int = -1,
        system: str | None = None,
    ) -> "Gate":
        """Find the threshold that tells two sets of prompts apart best.

        It is the one with the smallest sum of misses and false alarms, each as a share of its set,
        half-way between the projections on its two sides; of several as good, the one with the
        fewest false alarms. How well it does on prompts that had no part in this, `rates` says.

        Args:
            direction: such as a role's, or the difference of the two sets' means.
            opening: prompts at which patches are to act.
            closed: prompts at which they are not.

        Raises:
            RoleLensError: no prompts of a kind, no threshold that does better than none at all, or
                a direction or layer that doesn't fit the model.

        Examples:
            >>> direction = vectors.direction("cook", layer=2)
            >>> sets = {"opening": ["Fry it."], "closed": ["Tea?"]}
            >>> Gate.fit(model, direction, layer=2, **sets).layer
            2
        """
        made = Gate(direction, layer, 0.0, position, fingerprint(model))
        on = np.sort(made.projections(model, opening, system).numpy())
        off = np.sort(made.projections(model, closed, system).numpy())
        values = np.unique(np.concatenate([on, off]).astype(np.float64))
        between = (values[1:] + values[:-1]) / 2
        if len(between) == 0:
            raise RoleLensError("all prompts have the same projection: take another direction")
        misses = np.searchsorted(on, between, side="right") / len(on)
        alarms = 1 - np.searchsorted(off, between, side="right") / len(off)
        best = np.lexsort((alarms, misses + alarms))[0]
        if misses[best] + alarms[best] >= 1:
            raise RoleLensError(
                "no threshold tells these prompts apart: those that are to open the gate don't "
                "project further on the direction than the others; take another direction or layer"
            )
        return Gate(direction, layer, float(between[best]), position, made.fingerprint)

    def projections(
        self, model: Model, prompts: Sequence[Prompt], system: str | None = None
    ) -> Float[Tensor, " prompt"]:
        """Project prompts on the direction, in the residual stream's units.

        Examples:
            >>> gate = Gate(vectors.direction("poet", layer=1), layer=1, threshold=0.0)
            >>> gate.projections(model, ["Tea?", "Lunch!"]).shape
            torch.Size([2])
        """
        self.check(model)
        return self._of_tokens(model, encode_chat(model, prompts, system))

    def opens(
        self, model: Model, prompts: Sequence[Prompt], system: str | None = None
    ) -> Bool[Tensor, " prompt"]:
        """At which of these prompts patches act.

        Examples:
            >>> gate = Gate(vectors.direction("poet", layer=1), layer=1, threshold=-1e9)
            >>> gate.opens(model, ["Tea?", "Lunch!"])
            tensor([True, True])
        """
        return self.projections(model, prompts, system) > self.threshold

    def rates(
        self, model: Model, groups: Mapping[str, Sequence[Prompt]], system: str | None = None
    ) -> pd.DataFrame:
        """At which share of several groups of prompts patches act: hits, and false alarms.

        Args:
            groups: name -> prompts, such as those of each role; preferably ones that had no part in
                finding the threshold.

        Returns:
            One row per group: `group, n` (prompts), `opens` (share of them) and `projection`
            (mean).

        Examples:
            >>> gate = Gate(vectors.direction("poet", layer=1), layer=1, threshold=-1e9)
            >>> gate.rates(model, {"tea": ["Tea?", "Green tea?"]})["opens"].tolist()
            [1.0]
        """
        rows = []
        for name, prompts in groups.items():
            found = self.projections(model, prompts, system)
            opens = float((found > self.threshold).float().mean())
            rows.append((name, len(found), opens, float(found.mean())))
        return pd.DataFrame(rows, columns=["group", "n", "opens", "projection"])

    def check(self, model: Model) -> None:
        """Raise a RoleLensError if the gate doesn't fit the model, saying what differs.

        Examples:
            >>> direction = vectors.direction("poet", layer=1)
            >>> Gate(direction, layer=1, threshold=0.0).check(model)    # says nothing: it fits
        """
        check_model(model)
        check_layer(model, self.layer)
        if len(self.direction) != model.cfg.d_model:
            raise RoleLensError(
                f"the gate's direction has {len(self.direction)} dimensions, the model's residual "
                f"stream {model.cfg.d_model}: it is from another model"
            )
        if self.fingerprint is not None:
            check_fingerprint(self.fingerprint, model)

    def _of_tokens(
        self, model: Model, sequences: Sequence[Sequence[int]]
    ) -> Float[Tensor, " prompt"]:
        (states,) = activations_at(model, sequences, [(self.layer, self.position)])
        return einops.einsum(states, self.direction, "prompt d_model, d_model -> prompt")


def acting(
    model: Model, sequences: Sequence[Sequence[int]], patches: "Combined"
) -> "dict[Combined, list[int]]":
    """Divide prompts by the patches that act on them, which are then behind no gate.

    Args:
        sequences: token ids of the prompts.
        patches: patches that act together, behind gates or not.

    Returns:
        Patches -> indices of the prompts on which these, and no others, act.

    Examples:
        >>> from role_lens.patches import acting
        >>> gate = Gate(vectors.direction("poet", layer=1), layer=1, threshold=1e9)
        >>> patches = (vectors.add("poet", layer=2).behind(gate), vectors.add("cook", layer=1))
        >>> prompts = encode_chat(model, ["Tea?", "Lunch!"])
        >>> [(len(some), rows) for some, rows in acting(model, prompts, patches).items()]
        [(1, [0, 1])]
    """
    if all(patch.gate is None for patch in patches):
        return {patches: list(range(len(sequences)))}
    always = [True] * len(sequences)
    opens = [
        always
        if (gate := patch.gate) is None
        else (gate._of_tokens(model, sequences) > gate.threshold).tolist()
        for patch in patches
    ]
    free = [patch.behind(None) for patch in patches]
    divided: dict[Combined, list[int]] = {}
    for row in range(len(sequences)):
        some = tuple(patch for patch, is_open in zip(free, opens, strict=True) if is_open[row])
        divided.setdefault(some, []).append(row)
    return divided
