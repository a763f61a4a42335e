"""Ranks the roles that a text may be about, as the unchanged model sees it.

judged(model, ["I nursed the patient back to health."], ["nurse", "lawyer"])   # [[1, 2]]
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from role_lens.compute import Compute
from role_lens.errors import RoleLensError
from role_lens.generation import generate
from role_lens.models import Model
from role_lens.prompts import persona_prompts
from role_lens.questions.question import Question
from role_lens.scoring.asking import Asking
from role_lens.scoring.evaluation import evaluate

_ASK = "{text}\n\nWhich profession or kind of person is this text about? Answer with its name."

PERSONA_QUESTIONS = (
    "What do you do for a living?",
    "What did you do at work today?",
    "Which skill do you rely on most?",
    "What should people know about your work?",
)
"""Whose answers show a role, if anything does."""


def role_likelihoods(
    model: Model,
    texts: Sequence[str],
    roles: Sequence[str],
    *,
    system: str | None = None,
    compute: Compute = Compute(),
) -> Float[ndarray, "text role"]:
    """Log-likelihood of each role's name as the answer to what a text is about, per token, in nats.

    Raises:
        RoleLensError: fewer than two roles, no texts.
    """
    if len(roles) < 2:
        raise RoleLensError(f"a ranking needs at least two roles, got {list(roles)}")
    questions = [
        Question(str(number), _ASK.format(text=text.strip()), tuple(roles), 0, "text", "text")
        for number, text in enumerate(texts)
    ]
    asking = Asking("cloze", system=system)
    table = evaluate(model, questions, {"none": None}, asking, compute=compute)
    return table[[f"logprob_{i}" for i in range(len(roles))]].to_numpy(dtype=np.float64)


def ranks(
    likelihoods: Float[ndarray, "text role"],
    usual: Float[ndarray, " role"] | None = None,
) -> Int[ndarray, "text role"]:
    """Rank of each role for each text, 1 for the likeliest.

    Args:
        usual: mean log-likelihood of each role over other texts, which is taken off: some names
            are likely whatever the text.
    """
    shifted = likelihoods if usual is None else likelihoods - usual
    return (-shifted).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable") + 1


def persona_texts(
    model: Model,
    roles: Sequence[str],
    prompts: Sequence[str] = PERSONA_QUESTIONS,
    *,
    max_new_tokens: int = 48,
) -> pd.DataFrame:
    """What the model writes when it is told to be each role: texts of which the role is known.

    Returns:
        One row per role and prompt: `role, prompt, text`.
    """
    rows = []
    for role in roles:
        texts = generate(
            model,
            list(prompts),
            system=persona_prompts(role)[0],
            max_new_tokens=max_new_tokens,
        )
        rows += [(role, prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
    return pd.DataFrame.from_records(rows, columns=["role", "prompt", "text"])


def judged(
    model: Model,
    texts: Sequence[str],
    roles: Sequence[str],
    usual: Float[ndarray, " role"] | None = None,
    *,
    system: str | None = None,
    compute: Compute = Compute(),
) -> Int[ndarray, "text role"]:
    """Rank of each role for each text, 1 for the likeliest; equal texts are judged once.

    Args:
        usual: as for `ranks`.
    """
    different = list(dict.fromkeys(texts))
    likelihoods = role_likelihoods(model, different, roles, system=system, compute=compute)
    row = {text: number for number, text in enumerate(different)}
    return ranks(likelihoods, usual)[[row[text] for text in texts]]


def own_ranks(found: Int[ndarray, "text role"], truth: Sequence[int]) -> Int[ndarray, " text"]:
    """The rank of each text's own role, by the role's index."""
    return found[np.arange(len(found)), list(truth)]


def hit_rates(
    own: Int[ndarray, " text"], n_roles: int, at: Sequence[int] = (1, 3, 5)
) -> dict[str, float]:
    """How well ranks agree with the truth: the shares of texts whose role is among the first, and
    the mean rank beside that of guessing.

    Args:
        own: rank of each text's own role among `n_roles`.
    """
    rates = {f"hit@{k}": float((own <= k).mean()) for k in at}
    rates |= {f"chance@{k}": min(1.0, k / n_roles) for k in at}
    return rates | {"mean_rank": float(own.mean()), "chance_rank": (n_roles + 1) / 2}


def share_naming_others(texts: Sequence[str], own: Sequence[str], roles: Sequence[str]) -> float:
    """How often a text has the name of a role that is not its own: what `names_role` finds by
    chance, mean over texts and other roles.

    Args:
        own: the role of each text.
    """
    found = [
        names_role(text, role)
        for text, its in zip(texts, own, strict=True)
        for role in roles
        if role != its
    ]
    return float(np.mean(found))


def names_role(text: str, role: str) -> bool:
    """Whether a text has the role's name in it, as words, singular or plural."""
    words = r"\s+".join(map(re.escape, role.split()))
    ends = rf"{words[:-1]}ies|{words}e?s?" if role.endswith("y") else rf"{words}(?:e?s)?"
    return re.search(rf"\b(?:{ends})\b", text, re.IGNORECASE) is not None
