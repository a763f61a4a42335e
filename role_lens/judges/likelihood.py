"""Lets the unchanged model rank the roles that a text may be about.

    judged(model, ["I nursed the patient back to health."], ["nurse", "lawyer"])   # [[1, 2]]

The model is asked which profession or kind of person a text is about, and roles are ranked by the
log-likelihood of their names as the answer. A small model is a poor judge: measure how poor it is
with `hit_rates`, on `persona_texts` whose role is known.
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
"""Questions whose answers show a role, if anything does."""


def role_likelihoods(
    model: Model,
    texts: Sequence[str],
    roles: Sequence[str],
    *,
    system: str | None = None,
    compute: Compute = Compute(),
) -> Float[ndarray, "text role"]:
    """How likely each role's name is as the answer to what a text is about; equal texts are judged
    once.

    Args:
        model: the role judge, any model of `load_model`; without patches.
        texts: what is judged.
        roles: names, two or more.
        system: system message; None for the chat template's own default.
        compute: batches and progress.

    Returns:
        Log-likelihood of each role's name per token, in nats, for each text.

    Raises:
        RoleLensError: fewer than two roles, no texts, a text longer than the model's context.

    Examples:
        >>> from role_lens.judges import role_likelihoods
        >>> texts, quiet = ["Ode to salt.", "Stew."], Compute(progress=False)
        >>> role_likelihoods(model, texts, ["poet", "ship cook", "nurse"], compute=quiet).shape
        (2, 3)
    """
    if len(roles) < 2:
        raise RoleLensError(f"a ranking needs at least two roles, got {list(roles)}")
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    questions = [
        Question(str(i), _ASK.format(text=text.strip()), tuple(roles), 0, "text", "text")
        for text, i in number.items()
    ]
    asking = Asking("cloze", system=system)
    table = evaluate(model, questions, {"none": None}, asking, compute=compute)
    found = table[[f"logprob_{i}" for i in range(len(roles))]].to_numpy(dtype=np.float64)
    return found[[number[text] for text in texts]]


def ranks(
    likelihoods: Float[ndarray, "text role"],
    usual: Float[ndarray, " role"] | None = None,
) -> Int[ndarray, "text role"]:
    """Rank of each role for each text, by likelihood.

    Args:
        likelihoods: such as those of `role_likelihoods`.
        usual: mean log-likelihood of each role over other texts, such as `persona_texts`, which is
            subtracted first: some names are likely whatever the text. None to subtract nothing.

    Returns:
        1 for the likeliest role, 2 for the next, and so on; of equal ones the first comes first.

    Examples:
        >>> import numpy as np
        >>> from role_lens.judges import ranks
        >>> likelihoods = np.array([[-1.0, -1.5, -1.2], [-1.0, -2.0, -3.0]])
        >>> ranks(likelihoods).tolist()
        [[1, 3, 2], [1, 2, 3]]
        >>> ranks(likelihoods, usual=likelihoods.mean(axis=0)).tolist()
        [[3, 2, 1], [1, 2, 3]]
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
    """Texts of which the role is known: what the model writes when it is told to be each role.

    The system message is "You are a nurse.", with each role in its turn, and decoding is greedy.

    Args:
        model: any model of `load_model` whose chat template takes a system message.
        roles: names.
        prompts: what each role is asked.
        max_new_tokens: longest text, in tokens.

    Returns:
        One row per role and prompt: `role, prompt, text`.

    Raises:
        RoleLensError: an empty prompt, a chat template that takes no system message.

    Examples:
        >>> from role_lens.judges import persona_texts
        >>> table = persona_texts(model, ["poet", "cook"], ["What do you do?"], max_new_tokens=2)
        >>> table[["role", "prompt"]].to_numpy().tolist()
        [['poet', 'What do you do?'], ['cook', 'What do you do?']]
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
    """Rank of each role for each text, as the unchanged model sees it.

    This is `ranks` of `role_likelihoods`.

    Args:
        model: the role judge, any model of `load_model`; without patches.
        texts: what is judged.
        roles: names, two or more.
        usual: mean log-likelihood of each role over other texts, which is subtracted, as for
            `ranks`.
        system: system message; None for the chat template's own default.
        compute: batches and progress.

    Returns:
        1 for the likeliest role of each text, 2 for the next, and so on.

    Raises:
        RoleLensError: as `role_likelihoods`.

    Examples:
        >>> from role_lens.judges import judged
        >>> texts, quiet = ["Ode to salt.", "Stew.", "Ode to salt."], Compute(progress=False)
        >>> found = judged(model, texts, ["poet", "ship cook", "nurse"], compute=quiet)
        >>> found.shape, found[0].tolist() == found[2].tolist()
        ((3, 3), True)
    """
    return ranks(role_likelihoods(model, texts, roles, system=system, compute=compute), usual)


def own_ranks(found: Int[ndarray, "text role"], truth: Sequence[int]) -> Int[ndarray, " text"]:
    """The rank of each text's own role, out of the ranks of all roles.

    Args:
        found: ranks, such as those of `judged`.
        truth: index of each text's own role.

    Returns:
        One rank per text.

    Examples:
        >>> import numpy as np
        >>> from role_lens.judges import own_ranks
        >>> own_ranks(np.array([[1, 2, 3], [3, 1, 2]]), truth=[0, 2]).tolist()
        [1, 2]
    """
    return found[np.arange(len(found)), list(truth)]


def hit_rates(
    own: Int[ndarray, " text"], n_roles: int, at: Sequence[int] = (1, 3, 5)
) -> dict[str, float]:
    """How well ranks agree with the truth, beside guessing.

    Args:
        own: rank of each text's own role, as `own_ranks` gives it.
        n_roles: how many roles the ranks are among.
        at: numbers k; a rank of at most k is a hit.

    Returns:
        `hit@k`, the share of texts whose own role is among the first k, and `chance@k`, that of
        guessing, for each k; `mean_rank` and `chance_rank`, that of guessing.

    Examples:
        >>> import numpy as np
        >>> from role_lens.judges import hit_rates
        >>> hit_rates(np.array([1, 1, 2, 4]), n_roles=4, at=[1])
        {'hit@1': 0.5, 'chance@1': 0.25, 'mean_rank': 2.0, 'chance_rank': 2.5}
    """
    rates = {f"hit@{k}": float((own <= k).mean()) for k in at}
    rates |= {f"chance@{k}": min(1.0, k / n_roles) for k in at}
    return rates | {"mean_rank": float(own.mean()), "chance_rank": (n_roles + 1) / 2}


def share_naming_others(texts: Sequence[str], own: Sequence[str], roles: Sequence[str]) -> float:
    """How often texts contain the name of another role than their own.

    It is what `names_role` finds by chance.

    Args:
        texts: what was written.
        own: the role of each text.
        roles: all names that are looked for.

    Returns:
        The share of names found, over all texts and, for each, all roles but its own.

    Examples:
        >>> from role_lens.judges import share_naming_others
        >>> texts = ["The nurse met a poet.", "Nothing."]
        >>> share_naming_others(texts, ["nurse", "poet"], ["nurse", "poet", "cook"])    # 1 of 4
        0.25
    """
    found = [
        names_role(text, role)
        for text, its in zip(texts, own, strict=True)
        for role in roles
        if role != its
    ]
    return float(np.mean(found))


def names_role(text: str, role: str) -> bool:
    """Whether a text contains a role's name, as words of its own, in singular or plural.

    Args:
        text: what was written.
        role: the name, of one word or several; upper and lower case don't matter.

    Returns:
        True if it does.

    Examples:
        >>> from role_lens.judges import names_role
        >>> names_role("Two Data Analysts argue.", "data analyst")
        True
        >>> names_role("It is about economics.", "economist")
        False
    """
    words = r"\s+".join(map(re.escape, role.split()))
    ends = rf"{words[:-1]}ies|{words}e?s?" if role.endswith("y") else rf"{words}(?:e?s)?"
    return re.search(rf"\b(?:{ends})\b", text, re.IGNORECASE) is not None
