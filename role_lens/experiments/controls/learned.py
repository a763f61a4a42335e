"""Learns the addition that raises the margin most, at one layer and of bounded length: a ceiling.

    patch = learn_addition(choosing, "learned", layer=15, length=3.0)

If even that does little on other questions, no addition at that layer and length does much.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from role_lens._run.ascent import Ascent, ascend
from role_lens.errors import RoleLensError
from role_lens.experiments.store import ARRAY, open_store
from role_lens.patches.patch import Patch
from role_lens.questions.splits import split_questions
from role_lens.scoring.asked import AskedQuestions
from role_lens.scoring.attribution import mean_gradient
from role_lens.scoring.identity import content_hash


@dataclass(frozen=True)
class Learning:
    """How an addition is learned.

    Raises:
        RoleLensError: numbers that are too small.

    Examples:
        >>> from role_lens.experiments import Learning
        >>> Learning(steps=10).patience
        3
    """

    steps: int = 30
    """Most steps. Each takes two forward passes and one backward pass over two thirds of the
    questions, and a forward pass over the rest."""
    rate: float = 0.2
    """Length of the first step, as a share of the bound; the last one's is a tenth of it."""
    momentum: float = 0.8
    """Share of the earlier direction in each step."""
    patience: int = 3
    """After how many steps without a larger margin on the questions held out it stops."""
    seed: int = 0
    """Of the division of the questions."""

    def __post_init__(self) -> None:
        checked = self.ascent(1.0)
        for name in ("steps", "rate", "momentum", "patience"):
            object.__setattr__(self, name, getattr(checked, name))

    def ascent(self, length: float) -> Ascent:
        """These steps, up to a length."""
        return Ascent(length, self.steps, self.rate, self.momentum, self.patience)


def learn_addition(
    choosing: AskedQuestions,
    out: str | Path,
    *,
    layer: int,
    length: float,
    learning: Learning = Learning(),
) -> Patch:
    """Learn the vector whose addition raises the mean margin of some questions most.

    It is found by projected gradient ascent: steps along the gradient of the mean margin, with
    momentum, cut to the bounded length after each. A third of the questions is held out, and the
    step with the largest margin there is taken.

    Args:
        choosing: the questions that it is learned on; none of them may test it.
        out: run folder, where each step is kept, so that a stopped run goes on where it was.
        layer: the layer whose input the vector is added to, at all tokens.
        length: its largest length, in the residual stream's units, such as that of a role's
            direction times its coefficient.
        learning: steps, rate and when to stop.

    Raises:
        RoleLensError: a length that isn't positive, too few questions, a folder of another run, or
            nothing that could be learned.

    Examples:
        >>> from role_lens.experiments import Learning, learn_addition
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(many_questions[:30])
        >>> place = {"layer": 1, "length": 1.0}
        >>> patch = learn_addition(asked, folder / "run", learning=Learning(steps=2), **place)
        >>> patch.layers, float(patch.direction.norm()) <= 1.001
        ((1,), True)
    """
    ascent = learning.ascent(length)
    held, train = split_questions(choosing.questions, 1 / 3, seed=learning.seed)
    asked, rest = choosing.asker.ask(train), choosing.asker.ask(held)
    store = open_store(out, {"run": "learned", **choosing.identity})
    made_of = {"layer": layer, "length": float(length), "learning": asdict(learning)}
    key = content_hash(made_of)[:16]

    def addition(vector: Float[Tensor, " d_model"]) -> Patch:
        return Patch.add(vector, layer=layer)

    def gradient(vector: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
        return mean_gradient(asked, patch=addition(vector) if vector.any() else None)[layer]

    def gain(vector: Float[Tensor, " d_model"]) -> float:
        (scores,) = rest.scorer().logprobs([(addition(vector),)])
        return float(np.mean(rest.score_columns(scores)["margin"]))

    def keep(number: int, make: Callable[[], Float[Tensor, "3 d_model"]]) -> Tensor:
        file = f"step-{key}-{number}.npy"
        return torch.from_numpy(store.keep(file, lambda: make().numpy(), ARRAY))

    zero = torch.zeros(choosing.model.cfg.d_model)
    found = ascend(ascent, zero, gradient, gain, keep)
    if not found.any():
        raise RoleLensError(
            f"no addition at layer {layer} changes the margin of these questions: name another "
            "layer, or leave learning out (steps 0)"
        )
    return addition(found)
