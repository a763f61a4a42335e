"""Holds the package against transformers alone, on a tiny model of one family.

    tried("qwen3_next")    # a row of the table: a word for each check, and notes

Each check computes something with the package and the same by hand (`by_hand`), and raises where
the two differ by more than rounding.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from by_hand import ByHand, Changes, given_to, left_by
from tiny_families import bridged, tiny_model
from torch import Tensor

from role_lens import (
    Asking,
    Compute,
    Patch,
    Question,
    RoleLensError,
    RoleVectors,
    Sampling,
    attribute,
    encode_chat,
    evaluate,
    generate,
)
from role_lens._run.budget import Budget
from role_lens._run.tokens import pad_left, stop_token_ids
from role_lens.errors import first_line
from role_lens.models import Model
from role_lens.scoring import Asker
from role_lens.scoring.engine import engine
from role_lens.scoring.replay import Replay
from role_lens.scoring.whole_pass import WholePasses

QUIET = Compute(progress=False)
ROLES = {"poet": ["Rhyme?", "Ode!", "Scan this."], "cook": ["Salt?", "Stew!", "Boil this now."]}
BASE = ["Tea?", "Lunch!", "So it goes."]
PROMPTS = ["Why?", "A rather longer prompt than the other."]
QUESTIONS = [
    Question("q0", "Which is it?", ("oil", "ink"), 1, "s", "d"),
    Question("q1", "Which of these two or three is it?", ("egg", "a", "tea"), 2, "s", "d"),
    Question("q2", "It?", ("be", "sea"), 0, "s", "d"),
]
N_TOKENS = 4
LAYER = 2
LENGTH = 2.0
COEFFICIENT = 1.5
STEP = 2e-4  # between coefficients of which effects are compared
# Of what is compared, relative to its size.
TOLERANCE = 1e-3
# Which tokens a mask names, of a prompt of n tokens and of what follows it.
MASKS: dict[str, Callable[[int], slice]] = {
    "all": lambda n: slice(None),
    "prompt": lambda n: slice(n),
    "generated": lambda n: slice(n, None),
    "last": lambda n: slice(n - 1, n),
    "answer": lambda n: slice(n - 1, None),
    "not_first": lambda n: slice(1, None),
    "prompt[1:-1]": lambda n: slice(1, n - 1),
    "answer[:2]": lambda n: slice(n - 1, n + 1),
}


class Differs(Exception):
    """What the package gives is not what transformers gives."""


@dataclass(eq=False)
class Case:
    """A model of one family, as transformers and as TransformerLens run it."""

    family: str

    @cached_property
    def plain(self) -> Any:
        return tiny_model(self.family)

    @cached_property
    def model(self) -> Model:
        return bridged(self.plain, f"tiny-{self.family}")

    @cached_property
    def hand(self) -> ByHand:
        parts = self.model.adapter.component_mapping.items()
        return ByHand(self.plain, next(x.name for name, x in parts if name.endswith("blocks")))

    @cached_property
    def vectors(self) -> RoleVectors:
        return RoleVectors.fit(self.model, ROLES, BASE, positions=[-2, -1], compute=QUIET)

    @cached_property
    def direction(self) -> Tensor:
        """A random one, about as long as the residual stream."""
        generator = torch.Generator().manual_seed(1)
        direction = torch.randn(self.model.cfg.d_model, generator=generator)
        return LENGTH * direction / direction.norm()

    @cached_property
    def prompts(self) -> list[list[int]]:
        return encode_chat(self.model, PROMPTS)

    def patch(self, tokens: str = "all") -> Patch:
        return Patch.add(self.direction, layer=LAYER, coefficient=COEFFICIENT, tokens=tokens)

    def patched(self, n: int, tokens: str = "all") -> Changes:
        """The same by hand, for a prompt of n tokens."""
        return self.hand.adding(COEFFICIENT * self.direction, LAYER, MASKS[tokens](n))

    def texts(self, mask: str | None) -> list[str]:
        """What follows each prompt, by hand; None for no addition."""
        stops, decode = stop_token_ids(self.model), self.model.tokenizer.decode
        found = []
        for ids in self.prompts:
            changes = self.patched(len(ids), mask) if mask else None
            written = self.hand.text(ids, N_TOKENS, stops, changes)
            found.append(decode(written, skip_special_tokens=True).strip())
        return found


def loads(case: Case) -> None:
    """Does TransformerLens load the model, and compute what transformers computes?"""
    ids = case.prompts[1]
    batch = pad_left(case.model, case.prompts, range(len(case.prompts)))
    with torch.no_grad():
        alone = case.model(torch.tensor([ids]))[0]
        padded = case.model(batch.tokens, attention_mask=batch.mask)[:, -1]
    agree(alone, case.hand.logits(ids), "TransformerLens's logits")
    agree(padded, case.hand.padded(case.prompts), "TransformerLens's logits in a padded batch")


def fit(case: Case) -> None:
    """Are the means of a role's prompts those of the residual streams entering each block?"""
    for role, found in zip(case.vectors.roles, case.vectors.role_means, strict=True):
        sequences = encode_chat(case.model, ROLES[role])
        mean = torch.stack([case.hand.streams(ids)[:, -2:] for ids in sequences]).mean(0)
        agree(found, mean.transpose(0, 1), "means")


def add(case: Case) -> None:
    """Does an addition at any layer change the logits as one by hand does?"""
    ids = case.prompts[1]
    for layer in range(case.model.cfg.n_layers):
        with Patch.add(case.direction, layer=layer).on(case.model) as model, torch.no_grad():
            found = model(torch.tensor([ids]))[0]
        agree(found, case.hand.logits(ids, case.hand.adding(case.direction, layer)), "logits")


def ablate(case: Case) -> None:
    """Is nothing left along the direction, wherever the residual stream is read?

    Told twice: by the logits of a transformers model of which every reader is kept from seeing it,
    and by what the modules of transformers are given inside the TransformerLens model.
    """
    ids = case.prompts[1]
    unit = case.direction / case.direction.norm()
    left: list[float] = []

    def look(x: Tensor) -> Tensor:
        left.append(float(((x @ unit).abs() / x.norm(dim=-1)).max()))
        return x

    with ExitStack() as stack:
        stack.enter_context(Patch.ablate(case.direction).on(case.model))
        for module in readers_inside(case):
            stack.enter_context(given_to(module, look))
        stack.enter_context(left_by(case.model.blocks[-1], look))
        with torch.no_grad():
            found = case.model(torch.tensor([ids]))[0]
    if max(left) > 1e-4:
        raise Differs(f"{max(left):.1g} of the residual stream is left along the direction")
    agree(found, case.hand.ablated(ids, case.direction), "logits")


def readers_inside(case: Case) -> Iterator[torch.nn.Module]:
    """The modules of transformers that read the residual stream, inside a TransformerLens model."""
    blocks = [block.original_component for block in case.model.blocks]
    yield from blocks
    for block, name in case.hand.readers:
        module = blocks[case.hand.blocks.index(block)].get_submodule(name)
        yield getattr(module, "original_component", None) or module


def scored(case: Case, scoring: str) -> None:
    """Are options as likely as transformers says, with an addition and without?"""
    asking = Asking(scoring)
    table = evaluate(
        case.model, QUESTIONS, {"none": None, "add": case.patch()}, asking, compute=QUIET
    )
    items = Asker(case.model, asking).ask(QUESTIONS).items
    found, expected = [], []
    for (name, rows), (number, item) in itertools.product(table.groupby("patch"), enumerate(items)):
        changes = case.patched(len(item.prompt)) if name == "add" else None
        for choice, tokens in enumerate(item.continuations):
            logprob = case.hand.logprob(item.prompt, tokens, changes)
            expected.append(logprob / len(tokens))
            found.append(rows[f"logprob_{choice}"].iloc[number])
    agree(torch.tensor(found), torch.tensor(expected), "log-probabilities")


def attribution(case: Case) -> None:
    """Is the estimated effect of an addition the slope of its exact effect?"""
    options = {"contrasts": ["base"], "score": "logprob", "compute": QUIET}  # few questions
    table = attribute(case.model, case.vectors, QUESTIONS, **options)
    rows = table[(table["role"] == "poet") & (table["position"] == -1)].set_index("layer")
    directions = case.vectors.directions("base")[case.vectors.role_index("poet"), -1]
    # Prompts end in the same tokens, and some blocks don't look far back.
    layers = [layer for layer, direction in enumerate(directions) if direction.any()]
    patches = {
        f"{layer} {number}": Patch.add(directions[layer], layer=layer, coefficient=number * STEP)
        for layer, number in itertools.product(layers, range(-6, 7))
    }
    exact = evaluate(case.model, QUESTIONS, patches, compute=QUIET)
    mean = exact.groupby("patch", sort=False)["logprob_correct"].mean().to_numpy()
    # Between two of them another expert may have its turn: the slope of most, not their mean.
    slopes = np.median(np.diff(mean.reshape(len(layers), -1)), axis=1) / STEP
    estimated = rows["effect"][layers].to_numpy()
    agree(torch.tensor(estimated), torch.tensor(slopes), "effects", 0.1)


def generation(case: Case) -> None:
    """Are texts the likeliest ones, in a padded batch and alone, with a cache and without?"""
    for mask in (None, "all"):
        expected = case.texts(mask)
        for cache, batch_size in itertools.product((True, False), (None, 1)):
            same_texts(case, mask, Sampling(use_cache=cache, batch_size=batch_size), expected)


def masks(case: Case) -> None:
    """Does each mask name the same tokens in texts, in scores, and by hand?"""
    items = Asker(case.model, Asking("cloze")).ask(QUESTIONS).items
    scorers = [WholePasses(case.model, items, Budget(4096))]
    if replayed(case) == "yes":
        scorers.append(Replay(case.model, items, Budget(4096)))
    for mask in MASKS:
        texts = case.texts(mask)
        same_texts(case, mask, Sampling(), texts)
        same_texts(case, mask, Sampling(use_cache=False, batch_size=1), texts)
        expected = [
            case.hand.logprob(item.prompt, tokens, case.patched(len(item.prompt), mask))
            for item in items
            for tokens in item.continuations
        ]
        for scorer in scorers:
            found = scorer.logprobs([(case.patch(mask),)])[0]
            agree(found[~found.isnan()], torch.tensor(expected), f"{mask}: log-probabilities")


def replayed(case: Case) -> str:
    """Whether scores are replayed, which is fast, or take whole passes."""
    items = Asker(case.model, Asking("cloze")).ask(QUESTIONS).items
    return "yes" if isinstance(engine(case.model, items, Budget(4096)), Replay) else "no"


def same_texts(case: Case, mask: str | None, sampling: Sampling, expected: Sequence[str]) -> None:
    """Raise unless texts, under an addition or without, are those that are found by hand."""
    patch = case.patch(mask) if mask else None
    found = generate(case.model, PROMPTS, patch=patch, max_new_tokens=N_TOKENS, sampling=sampling)
    if found != expected:
        cache = "with" if sampling.use_cache else "without"
        where = "alone" if sampling.batch_size else "in a batch"
        raise Differs(f"{mask or 'no patch'}: other texts {cache} a cache, {where}")


def own_padding(case: Case) -> None:
    """Does transformers give the same for a text in a padded batch and alone?"""
    last = torch.stack([case.hand.logits(ids)[-1] for ids in case.prompts])
    agree(case.hand.padded(case.prompts), last, "logits in a padded batch")


def own_cache(case: Case) -> None:
    """Does transformers give the same with its own cache and without?"""
    ids = case.prompts[0]
    cached = case.hand.cached(ids)
    if cached is not None:
        agree(cached, case.hand.logits(ids)[-1], "logits with a cache")


def agree(found: Tensor, expected: Tensor, what: str, tolerance: float = TOLERANCE) -> None:
    """Raise unless two tensors are the same up to rounding."""
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= tolerance:
        raise Differs(f"{what} off by {difference:.1g}")


CHECKS: dict[str, Callable[[Case], str | None]] = {
    "loads": loads,
    "fit": fit,
    "add": add,
    "ablate": ablate,
    "letters": partial(scored, scoring="letter"),
    "cloze": partial(scored, scoring="cloze"),
    "attribution": attribution,
    "generation": generation,
    "masks": masks,
    "replayed": replayed,
}


def tried(family: str, checks: Sequence[str] = tuple(CHECKS)) -> dict[str, str]:
    """A row of the table: a word for what came of each check, and notes."""
    case, said = Case(family), {}
    row = {"family": family}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is slower
        for name in checks:
            row[name], note = outcome(CHECKS[name], case)
            if note:
                said.setdefault(note, []).append(name)
            if "model" not in vars(case):
                break
        for check in (own_padding, own_cache) if "differs" in row.values() else ():
            if note := outcome(check, case)[1]:
                said[note] = ["transformers itself"]
    notes = [f"{', '.join(names)}: {note}" for note, names in said.items()]
    return {**row, "notes": "; ".join(notes)}


def outcome(check: Callable[[Case], str | None], case: Case) -> tuple[str, str]:
    """A word for what came of a check, and what there is to say."""
    try:
        return check(case) or "ok", ""
    except Differs as error:
        return "differs", str(error)
    except RoleLensError as error:
        return "refused", first_line(error)
    except Exception as error:  # whatever an unusual architecture makes of it
        return "fails", f"{type(error).__name__}: {first_line(error)}"
