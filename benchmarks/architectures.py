"""On which architectures does the package give what transformers gives?

    python benchmarks/architectures.py --out role-lens-architectures

Tiny models of each family of decoders, with random weights, are fitted, steered and scored, and the
same is computed with transformers alone. The table says where the two agree. Minutes on two cores.
"""

import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import tyro
from by_hand import ByHand, Changes, given_to, left_by
from tiny_families import FAMILIES, bridged, tiny_model
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


@dataclass(frozen=True)
class Config:
    """Settings of the table."""

    families: tuple[str, ...] = tuple(FAMILIES)
    """Which families, by the names that transformers gives their configurations."""
    workers: int = os.cpu_count() or 1
    """How many families to try at once."""
    out: Path = Path("role-lens-architectures")
    """Folder for the table, as architectures.csv and architectures.md."""


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
        blocks = self.model.adapter.component_mapping.get("blocks")
        return ByHand(self.plain, blocks.name if blocks else "")

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


def loads(case: Case) -> None:
    """Does TransformerLens load the model, and compute what transformers computes?"""
    with torch.no_grad():
        ids = case.prompts[1]
        expected = case.hand.logits(ids)
        agree(case.model(torch.tensor([ids]))[0], expected, "TransformerLens")
        padded = pad_left(case.model, case.prompts, range(len(case.prompts)))
        last = torch.stack([case.hand.logits(ids)[-1] for ids in case.prompts])
        found = case.model(padded.tokens, attention_mask=padded.mask)[:, -1]
        agree(found, last, "in a padded batch TransformerLens")


def fit(case: Case) -> None:
    """Are the means of a role's prompts those of the residual streams entering each block?"""
    for role, found in zip(case.vectors.roles, case.vectors.role_means, strict=True):
        sequences = encode_chat(case.model, ROLES[role])
        mean = torch.stack([case.hand.streams(ids)[:, -2:] for ids in sequences]).mean(0)
        agree(found, mean.transpose(0, 1), "the means")


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
        for module in readers_inside(case):
            stack.enter_context(given_to(module, look))
        stack.enter_context(left_by(case.model.blocks[-1], look))
        with Patch.ablate(case.direction).on(case.model) as model, torch.no_grad():
            found = model(torch.tensor([ids]))[0]
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
    """Is the estimated effect of a small addition its exact effect, up to what is quadratic?"""
    table = attribute(case.model, case.vectors, QUESTIONS, contrasts=["base"], compute=QUIET)
    rows = table[(table["role"] == "poet") & (table["position"] == -1)]
    step = 5e-4  # larger ones turn ReLUs and choices of experts over
    directions = case.vectors.directions("base")[case.vectors.role_index("poet"), -1]
    # Prompts end in the same tokens, and some blocks don't look far back.
    layers = [layer for layer, direction in enumerate(directions) if direction.any()]
    patches = {
        f"{layer}{sign}": Patch.add(
            directions[layer], layer=layer, coefficient=float(f"{sign}{step}")
        )
        for layer, sign in itertools.product(layers, "+-")
    }
    exact = evaluate(case.model, QUESTIONS, patches, compute=QUIET)
    mean = exact.groupby("patch")["logprob_correct"].mean()
    slopes = [(mean[f"{layer}+"] - mean[f"{layer}-"]) / (2 * step) for layer in layers]
    estimated = rows.set_index("layer")["effect"][layers].to_numpy()
    agree(torch.tensor(estimated), torch.tensor(slopes), "effects", 0.05)


def generation(case: Case) -> None:
    """Are texts the likeliest ones, in a padded batch and alone, with a cache and without?"""
    ways = [*itertools.product((True, False), (None, 1))]
    same_texts(case, None, [None for _ in PROMPTS], ways)
    same_texts(case, case.patch(), [case.patched(len(ids)) for ids in case.prompts], ways)


def masks(case: Case) -> None:
    """Does each mask name the same tokens in texts as in scores, and by hand?"""
    asker = Asker(case.model, Asking("cloze"))
    items = asker.ask(QUESTIONS).items
    scorers: list[Replay | WholePasses] = [WholePasses(case.model, items, Budget(4096))]
    if isinstance(engine(case.model, items, Budget(4096)), Replay):
        scorers.append(Replay(case.model, items, Budget(4096)))
    for mask in MASKS:
        patch = case.patch(mask)
        changes = [case.patched(len(ids), mask) for ids in case.prompts]
        same_texts(case, patch, changes, [(True, None), (False, 1)])
        expected = [
            case.hand.logprob(item.prompt, tokens, case.patched(len(item.prompt), mask))
            for item in items
            for tokens in item.continuations
        ]
        for scorer in scorers:
            found = scorer.logprobs([(patch,)])[0]
            agree(found[~found.isnan()], torch.tensor(expected), f"{mask}: log-probabilities")


def same_texts(
    case: Case,
    patch: Patch | None,
    changes: Sequence[Changes | None],
    ways: Sequence[tuple[bool, int | None]],
) -> None:
    """Raise unless texts are those that are found by hand.

    Args:
        changes: the patch by hand, for each prompt.
        ways: pairs of whether a cache is used, and how many prompts are in a batch.
    """
    stops = stop_token_ids(case.model)
    expected = [
        case.model.tokenizer.decode(
            case.hand.text(ids, N_TOKENS, stops, change), skip_special_tokens=True
        ).strip()
        for ids, change in zip(case.prompts, changes, strict=True)
    ]
    for cache, batch_size in ways:
        found = generate(
            case.model,
            PROMPTS,
            patch=patch,
            max_new_tokens=N_TOKENS,
            sampling=Sampling(use_cache=cache, batch_size=batch_size),
        )
        if found != expected:
            how = f"{'with' if cache else 'without'} a cache"
            where = "alone" if batch_size == 1 else "in a padded batch"
            mask = patch.tokens if patch is not None else "no patch"
            raise Differs(f"{mask}: other texts {how}, {where}")


def agree(found: Tensor, expected: Tensor, what: str, tolerance: float = TOLERANCE) -> None:
    """Raise unless two tensors are the same up to rounding."""
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= tolerance:
        raise Differs(f"{what} differ by {difference:.1g}")


CHECKS: dict[str, Callable[[Case], None]] = {
    "loads": loads,
    "fit": fit,
    "add": add,
    "ablate": ablate,
    "letters": partial(scored, scoring="letter"),
    "cloze": partial(scored, scoring="cloze"),
    "attribution": attribution,
    "generation": generation,
    "masks": masks,
}


def tried(family: str) -> dict[str, str]:
    """A row of the table: what came of each check, and notes."""
    case, notes = Case(family), []
    row = {"family": family}
    for name, check in CHECKS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is slower
            row[name], note = outcome(check, case)
        if note:
            notes.append(f"{name}: {note}")
        if "model" not in vars(case):
            break
    return {**row, "notes": "; ".join(notes)}


def outcome(check: Callable[[Case], None], case: Case) -> tuple[str, str]:
    """A word for what came of a check, and what there is to say."""
    try:
        check(case)
    except Differs as error:
        return "differs", str(error)
    except RoleLensError as error:
        return "refused", first_line(error)
    except Exception as error:  # whatever an unusual architecture makes of it
        return "fails", f"{type(error).__name__}: {first_line(error)}"
    return "ok", ""


def main(config: Config) -> None:
    """Try the families, print and write."""
    with ProcessPoolExecutor(config.workers, initializer=_start) as pool:
        rows = []
        for row in pool.map(tried, config.families):
            print(*row.values(), sep="  ", flush=True)
            rows.append(row)
    table = pd.DataFrame(rows).fillna("")
    config.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(config.out / "architectures.csv", index=False)
    (config.out / "architectures.md").write_text(table.to_markdown(index=False) + "\n")


def _start() -> None:
    torch.set_num_threads(1)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
