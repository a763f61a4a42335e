"""What all results of one run have in common: the model, the questions and how they are asked."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from role_lens.evaluation.cells import content_hash
from role_lens.evaluation.items import Scoring
from role_lens.evaluation.questions import Question, Template
from role_lens.models import Model, model_name, weight_processing
from role_lens.patches import Patch
from role_lens.role_vectors import RoleVectors


def run_identity(
    model: Model,
    questions: Sequence[Question],
    *,
    scoring: Scoring = "letter",
    template: Template = "paper",
    system: str | None = None,
    examples: Sequence[Question] = (),
    **others: Any,
) -> dict[str, Any]:
    """Names and hashes, as JSON values.

    Args:
        scoring, template, system, examples: as for `evaluate`.
        others: what changes no result, such as the size of batches.
    """
    return {
        **model_identity(model),
        "n_questions": len(questions),
        "questions": content_hash([astuple(question) for question in questions]),
        "examples": content_hash([astuple(example) for example in examples]),
        "scoring": scoring,
        "template": template,
        "system": system,
    }


def model_identity(model: Model) -> dict[str, Any]:
    """Name, weights and precision, as JSON values."""
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
    """Of some thousands of evenly spaced numbers of every parameter."""
    parts: list[Any] = []
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().flatten()
        some = flat[:: max(1, len(flat) // 4096)].float().cpu().numpy().tobytes()
        parts += [name, list(parameter.shape), some]
    return content_hash(*parts)
