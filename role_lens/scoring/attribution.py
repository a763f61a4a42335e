"""Estimates, to first order, what adding each direction would do, from one gradient.

    attribute(model, vectors, questions).nlargest(5, "effect")

Nothing is patched here; `sweep` computes the effects exactly.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import einops
import numpy as np
import pandas as pd
import scipy.special
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm.auto import tqdm

from role_lens._run.budget import attempt
from role_lens._run.exclusive import has_model_to_itself, hooked
from role_lens._run.fingerprint import refuse_hooks
from role_lens._run.padding import ignores_padding
from role_lens._run.partial_pass import run_blocks
from role_lens._run.tokens import Batch, pad_left
from role_lens.compute import Compute
from role_lens.errors import RoleLensError
from role_lens.models import Model, model_name
from role_lens.patches.hooks import attached
from role_lens.patches.patch import Patch, combined
from role_lens.questions.question import Question
from role_lens.scoring.asked import AskedQuestions, Asker
from role_lens.scoring.asking import Asking
from role_lens.scoring.items import Item
from role_lens.scoring.method import METHODS, ScoringMethod
from role_lens.vectors import RoleVectors, check_vectors

Estimated = Literal["margin", "logprob"]
"""What is estimated: the change of the mean margin, or of the mean log p(correct)."""
Weights: TypeAlias = Float[Tensor, " _"]


@has_model_to_itself
def attribute(
    model: Model,
    vectors: RoleVectors,
    questions: Sequence[Question],
    asking: Asking = Asking(),
    *,
    contrasts: Sequence[str] | None = None,
    score: Estimated = "margin",
    compute: Compute = Compute(),
) -> pd.DataFrame:
    """Estimate the effect of adding each direction at its own layer, at all tokens.

    With f the mean margin (see `role_lens.scoring.margins`), and x_l,t the residual stream entering
    block l at token t, adding c·d changes f by c · Σ_t ∂f/∂x_l,t · d, to first order (attribution
    patching, Nanda 2023; Syed et al. 2023, arXiv 2310.10348). Two forward passes and a backward one
    give it for all roles, positions and layers: the first says how f depends on the options'
    scores. It leaves out how f curves: it is best for small coefficients, and worst where the
    addition is large beside the stream itself.

    Args:
        asking: scoring, layout, system message and examples.
        contrasts: which directions; None for all that the vectors have.
        score: what f is the mean of: the `margin`, or the `logprob` of the right option, normalised
            over the options, in nats.
        compute: batches and progress.

    Returns:
        One row per direction: `kind` (add), `contrast, role, position, layer, coefficient` (1),
        `effect` (estimated change of the mean margin per unit of the coefficient) and `sem`, its
        standard error over questions.

    Raises:
        RoleLensError: no questions, a prompt longer than the model's context, vectors of another
            model, contrast `roles` with a single role, or a model that carries hooks.

    Examples:
        >>> estimates = attribute(model, vectors, questions, compute=Compute(progress=False))
        >>> len(estimates)    # 2 contrasts x 2 roles x 2 positions x 3 layers
        24
    """
    check_vectors(vectors)
    if contrasts is None:
        contrasts = vectors.contrasts
    if not contrasts:
        raise RoleLensError("attribute needs at least one contrast")
    vectors.check(model)
    directions = torch.stack([vectors.directions(contrast) for contrast in contrasts])
    total = torch.zeros(directions.shape[:-1], dtype=torch.float64)
    square = torch.zeros_like(total)
    for gradients in question_gradients(Asker(model, asking, compute).ask(questions), score):
        effects = einops.einsum(
            gradients,
            directions,
            "question layer d, contrast role position layer d"
            " -> question contrast role position layer",
        ).double()
        total += effects.sum(dim=0)
        square += effects.square().sum(dim=0)
    return _table(vectors, contrasts, total, square, len(questions))


def question_gradients(
    asked: AskedQuestions, score: Estimated = "margin", *, patch: Patch | None = None
) -> Iterator[Float[Tensor, "question layer d_model"]]:
    """Gradients of f (see `attribute`) with respect to the residual stream entering each block,
    times the number of questions, through each question's own options.

    They are summed over tokens, and come in batches of questions, longest first.

    Args:
        patch: an addition to all tokens, under which f and its gradients are taken; there are none
            for the layers before its own, which are zero. None for the unpatched model.

    Raises:
        RoleLensError: no questions, or a model that carries hooks.
    """
    if not asked.questions:
        raise RoleLensError("attribution needs at least one question")
    model, items, budget = asked.model, asked.items, asked.asker.budget
    refuse_hooks(model)
    method = METHODS[asked.asking.scoring]
    rows = [_rows(item) for item in items]
    if len({len(ids) for some in rows for ids in some}) > 1 and not ignores_padding(model):
        raise RoleLensError(
            f"the effects of directions can't be estimated on {model_name(model)}, which doesn't "
            "ignore padding, for questions of different lengths: sweep without screening"
        )
    weights = _weights(asked, score, patch)
    size = [len(sequences) * max(map(len, sequences)) for sequences in rows]
    order = sorted(range(len(items)), key=lambda i: (-size[i], i))
    with tqdm(total=len(items), desc="attribution", disable=not asked.progress) as bar:
        while order:
            some = order[: budget.rows(size[order[0]])]
            batch = [(rows[i], items[i], weights[i]) for i in some]
            run = partial(_batch_gradients, model, batch, method, patch)
            gradients = attempt(run, budget, len(some))
            if gradients is not None:
                yield gradients
                order = order[len(some) :]
                bar.update(len(some))


def mean_gradient(
    asked: AskedQuestions, *, patch: Patch | None = None
) -> Float[Tensor, "layer d_model"]:
    """The gradient of the mean margin with respect to the residual stream entering each block.

    Args:
        patch: as for `question_gradients`.
    """
    cfg = asked.model.cfg
    total = torch.zeros((cfg.n_layers, cfg.d_model), dtype=torch.float64)
    for gradients in question_gradients(asked, patch=patch):
        total += einops.reduce(gradients.double(), "question layer d -> layer d", "sum")
    return (total / len(asked)).float()


@has_model_to_itself
@torch.inference_mode(False)
def _batch_gradients(
    model: Model,
    questions: Sequence[tuple[list[list[int]], Item, Weights]],
    method: ScoringMethod,
    patch: Patch | None,
) -> Float[Tensor, "question layer d_model"]:
    sequences = [ids for rows, _, _ in questions for ids in rows]
    batch = pad_left(model, sequences, range(len(sequences)))
    n_layers = model.cfg.n_layers
    columns = max(len(tokens) for _, item, _ in questions for tokens in item.continuations)
    streams = _streams(model, batch, patch)
    first = 0 if patch is None else patch.first_layer
    with torch.enable_grad():
        last = streams[-1][:, -columns:].requires_grad_()
        ones = torch.ones(last.shape[:2], dtype=torch.long, device=last.device)
        logits, _ = run_blocks(model, ones, ones, start=n_layers, resid=last, columns=columns)
        logprobs = logits.float().log_softmax(dim=-1)
        objective = torch.stack(_objectives(logprobs, questions, method)).sum()
        leaving = streams.pop()
        gradient = torch.zeros_like(leaving)
        gradient[:, -columns:] = torch.autograd.grad(objective, last)[0]
    summed = []
    # Backwards through one block at a time, which is run again for it: the activations inside
    # all blocks together would take far more memory than the streams between them.
    for layer in reversed(range(first, n_layers)):
        with torch.enable_grad():
            entering = streams.pop().requires_grad_()
            left, _ = run_blocks(
                model, batch.tokens, batch.mask, start=layer, resid=entering, stop=layer + 1
            )
            _check_block(model, layer, left - leaving, leaving, batch.mask.bool())
            (gradient,) = torch.autograd.grad(left, entering, gradient)
        summed.append(gradient.float().sum(dim=1).cpu())
        leaving = entering.detach()
    summed += [torch.zeros_like(summed[0])] * first
    by_row = torch.stack(summed[::-1], dim=1)
    owner = torch.tensor([q for q, (rows, _, _) in enumerate(questions) for _ in rows])
    by_question = torch.zeros((len(questions), *by_row.shape[1:]))
    return by_question.index_add_(0, owner, by_row)


@torch.no_grad()
def _check_block(
    model: Model, layer: int, difference: Tensor, whole: Tensor, mask: Bool[Tensor, "row pos"]
) -> None:
    """Raise a RoleLensError if a block that runs alone does something else than in the model."""
    low = model.cfg.dtype in (torch.bfloat16, torch.float16)
    mask = mask.to(whole.device)
    size = float(whole[mask].float().norm())
    relative = float(difference[mask].float().norm()) / max(size, 1e-6)
    # Of a whole pass that is NaN or infinite its own error tells.
    if math.isfinite(size) and not relative <= (0.1 if low else 1e-3):
        raise RoleLensError(
            f"the effects of directions can't be estimated on {model_name(model)}: block {layer} "
            f"alone differs from the same block in the model (by {relative:.2g} of its output); "
            "sweep without screening"
        )


@torch.no_grad()
def _streams(
    model: Model, batch: Batch, patch: Patch | None
) -> list[Float[Tensor, "row pos d_model"]]:
    """The residual stream entering each block, what is added there included, and leaving the
    last."""
    streams: list[Tensor] = []

    def keep(x: Tensor, hook: Any) -> None:
        streams.append(x.clone())  # some architectures go on to write into it

    n_layers = model.cfg.n_layers
    hooks = [(f"blocks.{layer}.hook_resid_pre", keep) for layer in range(n_layers)]
    with attached(model, patch), hooked(model, hooks):
        left, _ = run_blocks(model, batch.tokens, batch.mask, stop=n_layers)
    return [*streams, left]


@torch.inference_mode(False)
@torch.no_grad()
def _weights(asked: AskedQuestions, score: Estimated, patch: Patch | None) -> list[Weights]:
    """How f, times the number of questions, depends on the score of each option, to first order."""
    (summed,) = asked.scorer().logprobs([combined(patch)])
    scores = asked.option_scores(summed)
    if score == "margin":
        found = asked.margin_design.gradient(scores) * len(asked)
    else:
        share = scipy.special.softmax(np.where(np.isnan(scores), -np.inf, scores), axis=1)
        found = -share
        found[np.arange(len(asked)), [one.answer for one in asked.questions]] += 1
    return [
        torch.tensor(row[: len(item.continuations)], dtype=torch.float32)
        for row, item in zip(found, asked.items, strict=True)
    ]


def _objectives(
    logprobs: Float[Tensor, "row columns d_vocab"],
    questions: Sequence[tuple[list[list[int]], Item, Weights]],
    method: ScoringMethod,
) -> list[Float[Tensor, ""]]:
    """For each question its options' scores, each times its weight."""
    results, row = [], 0
    for rows, item, weights in questions:
        scores = []
        for choice, tokens in enumerate(item.continuations):
            at = row + (choice if len(rows) > 1 else 0)
            steps = torch.arange(logprobs.shape[1] - len(tokens), logprobs.shape[1])
            likelihood = logprobs[at, steps, torch.tensor(tokens)].sum()
            scores.append(method.score(likelihood, len(tokens)))
        results.append(torch.stack(scores) @ weights.to(logprobs.device))
        row += len(rows)
    return results


def _rows(item: Item) -> list[list[int]]:
    """Token rows of a question: one row for all options if each is a single token, else one for
    each."""
    if all(len(tokens) == 1 for tokens in item.continuations):
        return [list(item.prompt)]
    return [[*item.prompt, *tokens[:-1]] for tokens in item.continuations]


def _table(
    vectors: RoleVectors,
    contrasts: Sequence[str],
    total: Float[Tensor, "contrast role position layer"],
    square: Float[Tensor, "contrast role position layer"],
    n: int,
) -> pd.DataFrame:
    axes = [list(contrasts), vectors.roles, vectors.positions, range(vectors.n_layers)]
    names = ["contrast", "role", "position", "layer"]
    table = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    mean = (total / n).flatten().numpy()
    variance = np.maximum((square / n).flatten().numpy() - mean**2, 0)
    table.insert(0, "kind", "add")
    sem = np.sqrt(variance / (n - 1)) if n > 1 else np.full(len(mean), np.nan)
    return table.assign(coefficient=1.0, effect=mean, sem=sem)
