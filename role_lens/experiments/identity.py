"""What all results of one run have in common: the model, the questions and how they are asked."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import torch

from role_lens._run.fingerprint import refuse_hooks
from role_lens.experiments.store import content_hash
from role_lens.models import Model, model_name, weight_processing
from role_lens.patches.patch import Patch
from role_lens.questions.question import Question, Template
from role_lens.scoring.items import Scoring, tokenize_questions
from role_lens.vectors import RoleVectors

# Integers of as many bytes as a number of the weights.
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def run_identity(
    model: Model,
    questions: Sequence[Question],
    *,
    scoring: Scoring = "letter",
    template: Template = "paper",
    system: str | None = None,
    examples: Sequence[Question] = (),
    max_tokens: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Names and hashes, as JSON values.

    Args:
        scoring, template, system, examples: as for `evaluate`.
        max_tokens, progress: change no result.

    Raises:
        RoleLensError: as `tokenize_questions` and `model_identity`.
    """
    asking: dict[str, Any] = {"scoring": scoring, "template": template, "system": system}
    items = tokenize_questions(model, questions, examples=examples, **asking)
    return {
        **model_identity(model),
        "n_questions": len(questions),
        "questions": content_hash([astuple(question) for question in questions]),
        "examples": content_hash([astuple(example) for example in examples]),
        **asking,
        # The chat template may have changed, or print today's date.
        "tokens": content_hash([astuple(item) for item in items]),
    }


def model_identity(model: Model) -> dict[str, Any]:
    """Name, weights and precision, as JSON values.

    Raises:
        RoleLensError: the model carries hooks, whose results would be kept as its own.
    """
    refuse_hooks(model)
    return {
        "model": model_name(model),
        "weights": _hash_of_weights(model),
        "weight_processing": weight_processing(model),
        "dtype": str(model.cfg.dtype),
    }


def hash_of_vectors(vectors: RoleVectors) -> str:
    """Of what additions and ablations are made of."""
    means = [vectors.role_means.numpy().tobytes(), vectors.base_mean.numpy().tobytes()]
    return content_hash(list(vectors.roles), list(vectors.positions), *means)


def hash_of_patches(patches: Sequence[Patch]) -> str:
    """Of all that patches do."""
    parts: list[Any] = []
    for patch in patches:
        parts += [patch.kind, list(patch.layers), patch.value, patch.tokens]
        parts.append(patch.direction.numpy().tobytes())
    return content_hash(*parts)


def _hash_of_weights(model: Model) -> str:
    """Of some thousands of evenly spaced numbers of every parameter, and the sum of the bits of all
    of them: evenly spaced ones may be of a single column."""
    parts: list[Any] = []
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().flatten()
        some = flat[:: max(1, len(flat) // 4096)].float().cpu().numpy().tobytes()
        bits = flat.view(_BITS[flat.element_size()]).sum(dtype=torch.int64)
        parts += [name, list(parameter.shape), some, int(bits)]
    return content_hash(*parts)
