"""Measures what steering costs a text: how unlikely it is, and how much of it repeats.

    fluency(model, ["Tea?"], ["Yes, thank you."])    # log-likelihood per token, in nats
    repetition("No, no, no, no, no")                 # 0.67

The role judge says what it brings: see `role_lens.judges.judged`.
"""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from role_lens.compute import Compute
from role_lens.models import Model
from role_lens.questions.question import Question
from role_lens.scoring.asking import Asking
from role_lens.scoring.evaluation import evaluate

_N = 3  # words of which a repetition is made
_LONG = 30  # characters of a word
_OTHER = ("I don't know.", "That is hard to say.")


def fluency(
    model: Model,
    prompts: Sequence[str],
    texts: Sequence[str],
    *,
    system: str | None = None,
    compute: Compute = Compute(),
) -> Float[ndarray, " text"]:
    """How likely the unchanged model finds texts as answers to prompts.

    Args:
        model: any model of `load_model`; without patches.
        prompts: what was asked, one for each text.
        texts: what was answered.
        system: system message; None for the chat template's own default.
        compute: batches and progress.

    Returns:
        Log-likelihood of each text per token, in nats; NaN for an empty text.

    Raises:
        RoleLensError: a prompt that is longer than the model's context together with its text.

    Examples:
        >>> from role_lens.judges import fluency
        >>> found = fluency(model, ["Tea?"] * 2, ["Yes.", ""], compute=Compute(progress=False))
        >>> found.shape, bool(found[0] < 0), bool(np.isnan(found[1]))
        ((2,), True, True)
    """
    found = np.full(len(texts), np.nan)
    written = [i for i, text in enumerate(texts) if text.strip()]
    questions = []
    for i in written:
        text = texts[i].strip()
        other = next(one for one in _OTHER if one != text)  # a question has two options or more
        questions.append(Question(str(i), prompts[i], (text, other), 0, "text", "text"))
    if questions:
        asking = Asking("cloze", system=system)
        table = evaluate(model, questions, {"none": None}, asking, compute=compute)
        found[written] = table["logprob_0"].to_numpy()
    return found


def repetition(text: str) -> float:
    """The share of a text's runs of three words that repeat an earlier one.

    Of words over 30 characters, which are loops or of a script without spaces, each character
    counts as a word.

    Args:
        text: what was written.

    Returns:
        0 for a text of fewer than three words, and for one that repeats nothing.

    Examples:
        >>> from role_lens.judges import repetition
        >>> repetition("No, no, no, no, no"), repetition("A rose is a rose.")
        (0.6666666666666667, 0.0)
    """
    words = re.findall(r"\w+", text.casefold())
    if any(len(word) > _LONG for word in words):  # a loop without spaces, or a script without
        words = [char for word in words for char in (word if len(word) > _LONG else [word])]
    runs = [tuple(words[i : i + _N]) for i in range(len(words) - _N + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
