"""Learns the addition that raises the margin most, at one layer and of bounded length: a ceiling.

    patch = learn_addition(choosing, "learned", layer=15, length=3.0)

If even that does little on other questions, no addition at that layer and length does much.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from role_lens.checks import real_number, whole_number
from role_lens.errors import RoleLensError
from role_lens.experiments.store import ARRAY, Store, open_store
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
        for name in ("steps", "patience"):
            whole_number(getattr(self, name), name, least=1)
        for name in ("rate", "momentum"):
            value = real_number(getattr(self, name), name)
            if not 0 <= value <= 1:
                raise RoleLensError(f"{name} must be between 0 and 1, got {value}")
        if self.rate == 0 or self.momentum == 1:
            raise RoleLensError(
                f"rate must be above 0 and momentum below 1, got {self.rate} and {self.momentum}"
            )


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
        RoleLensError: a length that isn't positive, too few questions, a folder of another run.

    Examples:
        >>> from role_lens.experiments import Learning, learn_addition
        >>> from role_lens.scoring import Asker
        >>> asked = Asker(model, compute=Compute(progress=False)).ask(many_questions[:30])
        >>> place = {"layer": 1, "length": 1.0}
        >>> patch = learn_addition(asked, folder / "run", learning=Learning(steps=2), **place)
        >>> patch.layers, float(patch.direction.norm()) <= 1.001
        ((1,), True)
    """
    bound = real_number(length, "length")
    if not bound > 0:
        raise RoleLensError(f"length must be above 0, got {length}")
    held, train = split_questions(choosing.questions, 1 / 3, seed=learning.seed)
    asked, rest = choosing.asker.ask(train), choosing.asker.ask(held)
    store = open_store(out, {"run": "learned", **choosing.identity})
    made_of = {"layer": layer, "length": bound, "learning": asdict(learning)}
    steps = list(_steps(asked, rest, store, layer, bound, learning, content_hash(made_of)[:16]))
    best = max(steps, key=lambda step: step.held)
    return Patch.add(torch.from_numpy(best.vector), layer=layer)


@dataclass(frozen=True, eq=False)
class _Step:
    """The vector after a step, the direction it moved along, and the margin held out."""

    vector: Float[ndarray, " d_model"]
    moved: Float[ndarray, " d_model"]
    held: float

    def to_array(self) -> Float[ndarray, "3 d_model"]:
        """As one array, which a store keeps."""
        return np.stack([self.vector, self.moved, np.full_like(self.vector, self.held)])

    @staticmethod
    def of_array(array: Float[ndarray, "3 d_model"]) -> "_Step":
        """Back from that."""
        return _Step(array[0], array[1], float(array[2, 0]))


def _steps(
    asked: AskedQuestions,
    rest: AskedQuestions,
    store: Store,
    layer: int,
    bound: float,
    learning: Learning,
    key: str,
) -> Iterator[_Step]:
    zero = np.zeros(asked.model.cfg.d_model, dtype=np.float32)
    last, best, since = _Step(zero, zero, -np.inf), -np.inf, 0
    for number in range(learning.steps):
        rate = bound * learning.rate * 0.1 ** (number / max(1, learning.steps - 1))
        make = partial(_step, last, asked, rest, layer, bound, rate, learning.momentum)
        last = _Step.of_array(store.keep(f"step-{key}-{number}.npy", make, ARRAY))
        yield last
        best, since = (last.held, 0) if last.held > best else (best, since + 1)
        if since == learning.patience:
            break


def _step(
    last: _Step,
    asked: AskedQuestions,
    rest: AskedQuestions,
    layer: int,
    bound: float,
    rate: float,
    momentum: float,
) -> Float[ndarray, "3 d_model"]:
    """The next step, as an array."""
    patch = Patch.add(torch.from_numpy(last.vector), layer=layer) if last.vector.any() else None
    gradient = mean_gradient(asked, patch=patch)[layer].numpy()
    moved = momentum * last.moved + (1 - momentum) * gradient / np.linalg.norm(gradient)
    vector = last.vector + rate * moved / np.linalg.norm(moved)
    vector *= min(1.0, bound / float(np.linalg.norm(vector)))
    addition = Patch.add(torch.from_numpy(vector), layer=layer)
    (scores,) = rest.scorer().logprobs([(addition,)])
    held = float(np.mean(rest.score_columns(scores)["margin"]))
    return _Step(vector, moved, held).to_array()
