"""Learns directions through the model, from pairs of answers: in the role, and plain.

    RoleVectors.fit(model, roles, base, finder=FINDERS["learned"]("answers", layers=(15,)))

- Contrast `learned`: the vector whose addition makes the answers in the role likelier than the
  plain ones to the same questions, and whose subtraction makes them less likely: bi-directional
  preference optimization (BiPO, Cao et al. 2024, arXiv 2406.00045).

It is found at each layer by itself, for additions to all tokens, and no longer than a bound; it
stands at the last position. Each step takes three forward passes over three quarters of the pairs
and two backward ones from that layer on, and four forward passes over the others, whose questions
are not asked in the former, and on which the best step is chosen. Steps are kept beside the
answers, so that a stopped fit goes on.

For the addition that helps most with questions see `role_lens.experiments.learn_addition`.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import einops
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import trange

from role_lens._run.ascent import Ascent, ascend
from role_lens._run.exclusive import has_model_to_itself
from role_lens._run.fingerprint import fingerprint
from role_lens._run.partial_pass import run_blocks
from role_lens._run.tokens import check_length, encode_chat, pad_left
from role_lens.checks import whole_number
from role_lens.errors import RoleLensError, warn
from role_lens.files import as_path, atomic_write, make_folder
from role_lens.finders._finder import Directions, Finder, FitData
from role_lens.finders._places import set_layers
from role_lens.models import Model
from role_lens.prompts import split
from role_lens.written_answers import WrittenAnswer, read_answers

_FEWEST = 8
_AT_ONCE = 4  # pairs whose activations are held for a backward pass
_SCALE = 0.1  # of the difference of log-likelihoods; BiPO's beta


@dataclass(frozen=True)
class Learned(Finder):
    """A vector learned by bi-directional preference at some layers, for contrast `learned`.

    Raises:
        RoleLensError: no folder of answers, no layer, or a number out of range.

    Examples:
        >>> from role_lens.finders import FINDERS
        >>> FINDERS["learned"]("economist-answers", layers=(15,)).steps
        20
    """

    from_prompts: ClassVar[bool] = False
    answers: str | Path = ""
    """What `role_lens.writing.write_answers` wrote: its folder, or a JSONL file of such rows."""
    layers: tuple[int, ...] | None = None
    """The layers whose inputs it is added to, each learned by itself."""
    length: float | None = None
    """Its largest length; None for that of the role's difference of means at the same place."""
    steps: int = 20
    """Most steps."""
    rate: float = 0.2
    """Length of the first step, as a share of the largest length; the last one's is a tenth."""
    momentum: float = 0.8
    """Share of the earlier direction in each step."""
    patience: int = 4
    """After how many steps without a gain on the pairs held out it stops."""
    seed: int = 0
    """Of the division of the pairs."""

    def __post_init__(self) -> None:
        if not str(self.answers) or self.layers is None:
            raise RoleLensError(
                "finder 'learned' needs answers and layers: write answers with `role-lens "
                "answers`, and name their folder and a layer or several"
            )
        object.__setattr__(self, "answers", str(self.answers))
        set_layers(self)
        object.__setattr__(self, "seed", whole_number(self.seed, "seed", least=0))
        checked = self._ascent(1.0 if self.length is None else self.length)
        for name in ("steps", "rate", "momentum", "patience"):
            object.__setattr__(self, name, getattr(checked, name))

    def _ascent(self, length: float) -> Ascent:
        return Ascent(
            length, self.steps, self.rate, self.momentum, self.patience, least=-math.log(2)
        )

    def find(self, data: FitData) -> Directions:
        """Learn a vector for every role.

        Raises:
            RoleLensError: too few pairs of every role, or a layer that the model doesn't have.

        Warns:
            UserWarning: too few pairs of some roles, or no step was better than none.
        """
        layers, n_layers = self.layers or (), data.model.cfg.n_layers
        for layer in layers:
            if layer >= n_layers:
                raise RoleLensError(
                    f"layer {layer} is out of range: the model has 0 to {n_layers - 1}"
                )
        answers = read_answers(self.answers)
        found = torch.full_like(data.role_means, torch.nan)
        last = data.positions.index(max(data.positions))
        pairs = {role: _pairs(data.model, answers, role) for role in data.roles}
        few = [role for role, some in pairs.items() if len(some) < _FEWEST]
        if few:
            told = (
                f"{self.answers} holds fewer than {_FEWEST} different answers that are kept, with "
                f"a plain one beside each, of {', '.join(few)}"
            )
            if len(few) == len(data.roles):
                raise RoleLensError(f"{told}: ask more questions (--ask), or keep more (--within)")
            warn(f"{told}: no direction is learned for them")
        for number, role in enumerate(data.roles):
            for layer in layers if role not in few else ():
                difference = data.role_means[number, last, layer] - data.base_mean[last, layer]
                # Rounded, so that a fit in other batches goes on with the same steps.
                bound = self.length or float(f"{float(difference.norm()):.3g}")
                if not bound > 0:
                    raise RoleLensError(
                        f"nothing differs at layer {layer}: name a length, or another layer"
                    )
                found[number, last, layer] = self._learn(data, role, pairs[role], layer, bound)
        return {"learned": found}

    def _learn(
        self, data: FitData, role: str, pairs: Sequence["_Pair"], layer: int, bound: float
    ) -> Float[Tensor, " d_model"]:
        questions = list(dict.fromkeys(pair.question for pair in pairs))
        apart = set(split(questions, 1 / 4, seed=self.seed)[0])
        held = [pair for pair in pairs if pair.question in apart]
        train = [pair for pair in pairs if pair.question not in apart]
        model = data.model
        plain = [_differences(model, some, layer) for some in (train, held)]
        options = {**asdict(self), "layers": layer, "answers": None}
        made_of = [options, role, bound, fingerprint(model), [pair.tokens for pair in pairs]]
        key = hashlib.sha256(json.dumps(made_of, default=str).encode()).hexdigest()[:16]
        kept = _Kept(as_path(self.answers), key)
        bar = trange(self.steps, desc=f"learning {role}", disable=not data.compute.progress)
        found = ascend(
            self._ascent(bound),
            torch.zeros(model.cfg.d_model),
            lambda vector: _gradient(model, train, plain[0], layer, vector),
            lambda vector: _gain(model, held, plain[1], layer, vector),
            partial(kept.keep, bar=bar),
        )
        bar.close()
        if not found.any():
            warn(f"nothing learned for {role} at layer {layer} is better than no addition")
            return torch.full_like(found, torch.nan)
        return found


@dataclass(frozen=True)
class _Pair:
    """Tokens of a question with its answer in the role, and with the plain one."""

    question: str
    tokens: tuple[list[int], list[int]]
    lengths: tuple[int, int]
    """How many of them are the answer's."""


@dataclass(frozen=True)
class _Kept:
    """Where steps are kept."""

    answers: Path
    key: str

    def _file(self, number: int) -> Path:
        folder = self.answers if self.answers.is_dir() else self.answers.parent
        return folder / "learned" / f"{self.key}-{number}.npy"

    def keep(self, number: int, make: Callable[[], Tensor], *, bar: Any) -> Tensor:
        """A step that was kept, or else made and kept."""
        file = self._file(number)
        with suppress(OSError, ValueError, EOFError):  # none yet, or damaged
            vector, moved, gains = torch.from_numpy(np.load(file))
            bar.update(number + 1 - bar.n)
            return torch.stack([vector, moved, gains])
        rows = make()
        bar.update(number + 1 - bar.n)
        make_folder(file.parent)
        with atomic_write(file) as temporary, open(temporary, "wb") as opened:
            np.save(opened, rows.numpy())
        return rows


def _pairs(model: Model, answers: Sequence[WrittenAnswer], role: str) -> list[_Pair]:
    """The role's answers that are kept, each with the plain one to the same question, once."""
    plain = {one.question: one.answer for one in answers if one.role is None and one.kept}
    own = [one for one in answers if one.role == role and one.kept and one.question in plain]
    texts = dict.fromkeys((one.question, one.answer) for one in own)
    different = [(asked, answer) for asked, answer in texts if answer != plain[asked]]
    pairs = []
    for asked, answer in different:
        (prompt,) = encode_chat(model, [asked])
        both = [
            model.tokenizer.encode(text, add_special_tokens=False)
            for text in (answer, plain[asked])
        ]
        lengths = len(both[0]), len(both[1])
        check_length(model, len(prompt), asked, following=max(lengths))
        pairs.append(_Pair(asked, ([*prompt, *both[0]], [*prompt, *both[1]]), lengths))
    return pairs


def _batches(
    model: Model, pairs: Sequence[_Pair], layer: int
) -> Iterator[tuple[slice, Sequence[_Pair], Tensor, Tensor, Tensor]]:
    """Pairs, with tokens, mask and the residual stream entering the layer, answers in the role
    first."""
    for start in range(0, len(pairs), _AT_ONCE):
        some = pairs[start : start + _AT_ONCE]
        rows = [pair.tokens[which] for which in (0, 1) for pair in some]
        batch = pad_left(model, rows, range(len(rows)))
        with torch.no_grad():
            stream, _ = run_blocks(model, batch.tokens, batch.mask, stop=layer)
        yield slice(start, start + len(some)), some, batch.tokens, batch.mask, stream


def _preference(
    model: Model,
    some: Sequence[_Pair],
    tokens: Tensor,
    mask: Tensor,
    layer: int,
    stream: Tensor,
) -> Float[Tensor, " pair"]:
    """How much more log-likelihood each answer in the role has than the plain one."""
    lengths = [pair.lengths[which] for which in (0, 1) for pair in some]
    columns = max(lengths) + 1
    logits, _ = run_blocks(model, tokens, mask, start=layer, resid=stream, columns=columns)
    logprobs = logits[:, :-1].float().log_softmax(dim=-1)
    targets = tokens[:, -(columns - 1) :]
    chosen = logprobs.gather(-1, targets[..., None])[..., 0]
    back = torch.arange(columns - 1, 0, -1, device=tokens.device)
    within = back <= torch.tensor(lengths, device=tokens.device)[:, None]
    sums = einops.reduce(chosen * within, "row column -> row", "sum")
    role, plain = sums.chunk(2)
    return role - plain


@has_model_to_itself
@torch.inference_mode(False)
@torch.no_grad()
def _differences(
    model: Model, pairs: Sequence[_Pair], layer: int, vector: Tensor | None = None
) -> Float[Tensor, " pair"]:
    found = torch.zeros(len(pairs))
    for place, some, tokens, mask, stream in _batches(model, pairs, layer):
        steered = stream if vector is None else stream + vector.to(stream)
        found[place] = _preference(model, some, tokens, mask, layer, steered).cpu()
    return found


def _gain(model: Model, pairs: Sequence[_Pair], plain: Tensor, layer: int, vector: Tensor) -> float:
    """The objective: mean log-sigmoid of how much the vector, and its opposite, change the
    preference in their own ways."""
    total = 0.0
    for sign in (1, -1):
        changed = _differences(model, pairs, layer, sign * vector) - plain
        total += float(torch.nn.functional.logsigmoid(sign * _SCALE * changed).mean())
    return total / 2


@has_model_to_itself
@torch.inference_mode(False)
def _gradient(
    model: Model, pairs: Sequence[_Pair], plain: Tensor, layer: int, vector: Tensor
) -> Float[Tensor, " d_model"]:
    """The gradient of `_gain` with respect to the vector."""
    total = torch.zeros_like(vector)
    for place, some, tokens, mask, stream in _batches(model, pairs, layer):
        for sign in (1, -1):
            with torch.enable_grad():
                added = vector.clone().requires_grad_()
                steered = stream + sign * added.to(stream)
                changed = _preference(model, some, tokens, mask, layer, steered)
                objective = torch.nn.functional.logsigmoid(
                    sign * _SCALE * (changed - plain[place].to(changed))
                ).sum()
                (gradient,) = torch.autograd.grad(objective, added)
            total += gradient.cpu()
    return total / (2 * len(pairs))


FINDER = Learned
