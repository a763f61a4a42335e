"""How fast are sweeps, attribution and fits, beside the usual ways to do the same?

    make bench
    python benchmarks/speed.py --questions my.jsonl --examples dev.jsonl --device cuda

Everything runs in one process, on the same model, questions and candidates, and what is compared
takes turns. Only ratios within a run mean anything: machines differ, and a shared one is slower at
times. The base pass that a real sweep shares among thousands of candidates is shared by a few
dozens here.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import tyro
from plain import Addition, by_hand_sweep, plain_fit, plain_sweep
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from role_lens import (
    Asking,
    Compute,
    Patch,
    Question,
    RoleVectors,
    attribute,
    encode_chat,
    load_model,
    load_prompts,
    load_questions,
    load_roles,
)
from role_lens._run.budget import token_budget
from role_lens.models import PACKAGED_MODEL, Model, local_folder
from role_lens.scoring import Asker, Item, MarginDesign
from role_lens.scoring.engine import engine

QUIET = Compute(progress=False)


@dataclass(frozen=True)
class Config:
    """Settings of the speed benchmark."""

    model: str = PACKAGED_MODEL
    """The packaged model, a Hugging Face id, or a local folder."""
    questions: str = "builtin"
    """builtin, mmlu, or a JSONL file or folder."""
    domain: str | None = None
    """Keep only this domain."""
    n_questions: int = 24
    """How many questions, evenly spread over the source."""
    examples: str | None = None
    """JSONL file or folder of answered questions, for prompts with examples; of each subject the
    first five. Without it a subject's own first five are used."""
    n_few_shot: int = 40
    """How many questions with examples, all of one subject."""
    layer_step: int = 4
    """Candidates at every so many layers, from layer 1."""
    n_roles: int = 4
    """Candidates at each layer."""
    n_few_shot_roles: int = 2
    """Candidates at every second of these layers, for prompts with examples."""
    n_fit: int = 16
    """Prompts of each role, and base prompts, in the fit."""
    device: str | None = None
    """Where the model goes, such as cuda."""
    out: Path = Path("role-lens-bench")
    """Folder for the table, as speed.json and speed.md."""


Way = Callable[[Sequence[Addition]], Tensor]


@dataclass
class Run:
    """What one way gave, and how long it took."""

    seconds: float
    scores: Tensor


def main(config: Config) -> None:
    """Measure, print and write the table."""
    questions = spread(load_questions(config.questions, domain=config.domain), config.n_questions)
    model = load_model(config.model, config.device, torch.float32)
    low = load_model(config.model, config.device, torch.bfloat16)
    by_hand = AutoModelForCausalLM.from_pretrained(
        local_folder(config.model) or config.model,
        dtype=torch.float32,
        attn_implementation="sdpa",
    ).to(model.cfg.device)
    report = Report()

    vectors = race_of_fits(model, config, report)
    layers = range(1, model.cfg.n_layers, config.layer_step)
    step = max(1, len(vectors.roles) // config.n_roles)
    names = vectors.roles[::step][: config.n_roles]
    grid = [[(layer, vectors.direction(r, layer=layer)) for r in names] for layer in layers]
    items = Asker(model).ask(questions).items
    n_tokens = sum(len(item.prompt) for item in items)
    budget = token_budget(model).tokens

    rates: list[float] = []
    runs = race(
        {
            "plain": lambda some: plain_sweep(model, items, some),
            "by hand, sdpa": lambda some: by_hand_sweep(by_hand, items, some, budget),
            "role_lens": ours(model, items),
            "role_lens, bfloat16": ours(low, items),
        },
        grid,
        model,
        rates,
    )
    flops = count_flops(model, items, grid)
    shares = operator_shares(model, items, grid[::2])
    mine = runs["role_lens"]
    baseline, low_baseline = ours(model, items)([]), ours(low, items)([])
    change = effects(mine.scores, baseline, questions)
    report.sweep("sweep, all layers", runs, n_tokens)
    report.add(
        "sweep, all layers",
        "role_lens",
        over_by_hand=runs["by hand, sdpa"].seconds / mine.seconds,
        share_of_matrix_rate=flops / mine.seconds / (sum(rates) / len(rates)),
    )
    low_change = effects(runs["role_lens, bfloat16"].scores, low_baseline, questions)
    report.add(
        "sweep, all layers",
        "role_lens, bfloat16",
        rank_correlation=rank_correlation(low_change, change),
    )
    upper = [some for some in grid if some[0][0] >= model.cfg.n_layers / 2]
    runs = race(
        {"plain": lambda some: plain_sweep(model, items, some), "role_lens": ours(model, items)},
        upper,
        model,
    )
    report.sweep("sweep, upper half", runs, n_tokens)

    before = now(model)
    plain_sweep(model, items, grid[0][:1])
    start = now(model)
    estimates = attribute(model, vectors, questions, contrasts=["base"], compute=QUIET)
    end = now(model)
    plain_sweep(model, items, grid[0][:1])
    one_pass, seconds = (start - before + now(model) - end) / 2, end - start
    estimated = estimates.set_index(["role", "position", "layer"])["effect"]
    wanted = [estimated[role, -1, layer] for layer in layers for role in names]
    report.add("attribution, whole grid", "one plain pass", seconds=one_pass)
    report.add(
        "attribution, whole grid",
        "role_lens",
        seconds=seconds,
        plain_passes=seconds / one_pass,
        rank_correlation=rank_correlation(pd.Series(wanted), change),
    )

    shots, asked = few_shot(config, questions)
    shot_items = Asker(model, Asking(examples=tuple(shots))).ask(asked).items
    n_shot_tokens = sum(len(item.prompt) for item in shot_items)
    runs = race(
        {
            "plain": lambda some: plain_sweep(model, shot_items, some),
            "role_lens": ours(model, shot_items),
        },
        [some[: config.n_few_shot_roles] for some in grid[::2]],
        model,
    )
    report.sweep("sweep, five-shot", runs, n_shot_tokens)

    facts = {
        "device": str(model.cfg.device),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matrix_gflops": [round(rate / 1e9) for rate in rates],
        "operator_shares": shares,
        "candidates": sum(map(len, grid)),
        "tokens": n_tokens,
        "tokens_few_shot": n_shot_tokens,
        "config": {key: str(value) for key, value in asdict(config).items()},
    }
    report.write(config.out, facts)


class Report:
    """The table, row by row; printed as it grows."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], dict[str, float]] = {}

    def add(self, what: str, way: str, **figures: float) -> None:
        """Add figures to a row."""
        self.rows.setdefault((what, way), {}).update(figures)
        told = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
        print(f"{what}: {way}: {told}", flush=True)

    def sweep(self, what: str, runs: Mapping[str, Run], tokens: int) -> None:
        """Rows of a race, compared with the plain way.

        Args:
            tokens: of all prompts; each candidate is one reading of them.
        """
        plain = runs["plain"]
        for way, run in runs.items():
            self.add(
                what,
                way,
                seconds=run.seconds,
                tokens_per_second=tokens * len(run.scores) / run.seconds,
                speedup=plain.seconds / run.seconds,
                difference=float((run.scores - plain.scores).abs().nan_to_num(0).max()),
            )

    def write(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Print the table, and write it with what it was measured on."""
        table = pd.DataFrame(
            [{"what": what, "way": way, **figures} for (what, way), figures in self.rows.items()]
        )
        columns = list(table.columns)
        lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
        for row in table.itertuples(index=False):
            cells = ["" if pd.isna(x) else x if isinstance(x, str) else f"{x:.3g}" for x in row]
            lines.append("| " + " | ".join(cells) + " |")
        print("\n" + "\n".join(lines) + "\n\n" + json.dumps(facts, indent=1))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "speed.md").write_text("\n".join(lines) + "\n")
        (folder / "speed.json").write_text(
            json.dumps({**facts, "rows": table.to_dict(orient="records")}, indent=1)
        )


def race(
    ways: Mapping[str, Way],
    grid: Sequence[Sequence[Addition]],
    model: Model,
    rates: list[float] | None = None,
) -> dict[str, Run]:
    """Every way on every part of the grid, in turn, so that a machine that is slower for a while
    is so for all of them; none always goes first."""
    for run in ways.values():
        run(grid[-1][:1])  # what only a first call does
    seconds = dict.fromkeys(ways, 0.0)
    scores: dict[str, list[Tensor]] = {way: [] for way in ways}
    names = list(ways)
    for number, part in enumerate(grid):
        turn = number % len(names)
        for way in names[turn:] + names[:turn]:
            start = now(model)
            scores[way].append(ways[way](part))
            seconds[way] += now(model) - start
        if rates is not None:
            rates.append(matrix_rate(model))
    return {way: Run(seconds[way], torch.cat(scores[way])) for way in ways}


def race_of_fits(model: Model, config: Config, report: Report) -> RoleVectors:
    """The fit of all built-in roles in both ways, a few prompts of each."""
    n = config.n_fit
    roles = {role: prompts[:n] for role, prompts in load_roles("builtin").items()}
    base = load_prompts("builtin")[:n]
    sequences, base_sequences = (
        [encode_chat(model, prompts) for prompts in roles.values()],
        encode_chat(model, base),
    )
    start = now(model)
    vectors = RoleVectors.fit(model, roles, base, compute=QUIET)
    middle = now(model)
    plain = plain_fit(model, sequences, base_sequences, len(vectors.positions))
    end = now(model)
    report.add("fit of 29 roles", "plain", seconds=end - middle)
    report.add(
        "fit of 29 roles",
        "role_lens",
        seconds=middle - start,
        speedup=(end - middle) / (middle - start),
        difference=float((vectors.directions() - plain).abs().max()),
    )
    return vectors


def ours(model: Model, items: Sequence[Item]) -> Way:
    """This package's way, to be called with rising layers; without candidates it gives the
    baseline."""
    scorer = engine(model, items, token_budget(model))

    def run(some: Sequence[Addition]) -> Tensor:
        return scorer.logprobs([(Patch.add(d, layer=layer),) for layer, d in some] or [()])

    return run


def count_flops(model: Model, items: Sequence[Item], grid: Sequence[Sequence[Addition]]) -> int:
    """Floating-point operations of this package's way, as counted by torch."""
    run = ours(model, items)
    with FlopCounterMode(display=False) as counter:
        for part in grid:
            run(part)
    return counter.get_total_flops()


def operator_shares(
    model: Model, items: Sequence[Item], grid: Sequence[Sequence[Addition]]
) -> dict[str, float]:
    """Which operators take this package's time, under a profiler: the largest shares."""
    run = ours(model, items)
    on_gpu = torch.device(str(model.cfg.device)).type == "cuda"
    kind = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[kind]) as profiler:
        for part in grid:
            run(part)
    took = {
        event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total
        for event in profiler.key_averages()
    }
    largest = sorted(took, key=lambda name: -took[name])[:10]
    return {name: round(took[name] / sum(took.values()), 3) for name in largest}


def now(model: Model) -> float:
    """Seconds on a clock; on a GPU, once it has finished."""
    if torch.device(str(model.cfg.device)).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@torch.inference_mode()
def matrix_rate(model: Model, tokens: int = 1024) -> float:
    """Floating-point operations per second of the model's own MLP product on full batches."""
    d_mlp = getattr(model.cfg, "d_mlp", None) or 4 * model.cfg.d_model
    x = torch.randn((tokens, model.cfg.d_model), device=model.cfg.device, dtype=model.cfg.dtype)
    w = torch.randn((d_mlp, model.cfg.d_model), device=model.cfg.device, dtype=model.cfg.dtype)
    repeats = 200
    torch.nn.functional.linear(x, w)
    start = now(model)
    for _ in range(repeats):
        torch.nn.functional.linear(x, w)
    return repeats * 2 * x.numel() * d_mlp / (now(model) - start)


def effects(scores: Tensor, baseline: Tensor, questions: Sequence[Question]) -> pd.Series:
    """Mean change of the margin under each candidate."""
    answers = np.array([question.answer for question in questions])
    present = ~baseline.isnan().reshape(len(questions), -1).cpu().numpy()
    design = MarginDesign(answers, present, [question.subject for question in questions])
    found, base = (design.margins(x.double().cpu().numpy()).mean(-1) for x in (scores, baseline))
    return pd.Series(found - base)


def rank_correlation(a: pd.Series, b: pd.Series) -> float:
    """Spearman's."""
    return float(a.rank().corr(b.rank()))


def spread(questions: Sequence[Question], n: int) -> list[Question]:
    """n of the questions, evenly spread."""
    step = max(1, len(questions) // n)
    return list(questions[::step][:n])


def few_shot(
    config: Config, questions: Sequence[Question]
) -> tuple[list[Question], list[Question]]:
    """Five examples of one subject, and questions of it."""
    pool = load_questions(config.questions, domain=config.domain)
    source = load_questions(config.examples) if config.examples is not None else pool
    known = {example.subject for example in source}
    subject = next(question.subject for question in questions if question.subject in known)
    shots = [example for example in source if example.subject == subject][:5]
    asked = [q for q in pool if q.subject == subject and q not in shots]
    return shots, spread(asked, config.n_few_shot)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
