"""Scores questions under patches, and summarizes the scores.

    table = evaluate(model, questions, {"baseline": None, "nurse": patch}, Asking(scoring="cloze"))
    summarize(table)

For every candidate direction of a grid, `sweep` does the same, and keeps what is finished.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from role_lens.compute import Compute
from role_lens.errors import RoleLensError
from role_lens.models import Model
from role_lens.patches.patch import Patches, combined, first_layer, form
from role_lens.questions.question import NumericQuestion, Question
from role_lens.scoring.asked import Asker
from role_lens.scoring.asking import GENERATE, Asking
from role_lens.scoring.engine import in_chunks
from role_lens.scoring.generated import score_generated
from role_lens.scoring.generation_options import Generation


def evaluate(
    model: Model,
    questions: Sequence[Question] | Sequence[NumericQuestion],
    patches: Mapping[str, Patches],
    asking: Asking = Asking(),
    *,
    generation: Generation | None = None,
    compute: Compute = Compute(),
) -> pd.DataFrame:
    """Score every question under every patch.

    `asking.scoring` says how:

    - `letter`: the question with its lettered options, and the log-probability of each letter as
      the first answer token (arXiv 2502.12055, section 4). Models with a chat template get one user
      turn and bare letters; base models get the text itself and letters after a space. Letters that
      are not single tokens are scored as sequences.
    - `cloze`: the question alone, and the log-likelihood of each option's text as the answer,
      divided by its number of tokens (Brown et al. 2020, arXiv 2005.14165, section 2.4).
    - `generate`: the answer that the model writes, read from its text. Only this one takes
      `NumericQuestion`s, and it returns other columns: see `role_lens.scoring.score_generated`.

    Args:
        patches: name -> a patch, several that act together, or None for the unpatched model.
        asking: scoring, layout, system message and examples.
        generation: how answers are written, for `generate`; None for greedy direct answers.
        compute: batches and progress.

    Returns:
        One row per patch and question: `patch, question_id, domain, subject, n_choices` (options),
        `answer, predicted, correct, logprob_correct` (log of p(correct) normalised over the
        options, in nats), `choice_mass` (probability of all options together), and `logprob_0 …`,
        the score of each option in nats: for `letter` log p over the whole vocabulary, for `cloze`
        per token of the option.

    Raises:
        RoleLensError: no questions or patches, a prompt longer than the model's context, or a patch
            that doesn't fit the model.

    Examples:
        >>> patches = {"baseline": None, "poet@1": vectors.add("poet", layer=1)}
        >>> table = evaluate(model, questions, patches, compute=Compute(progress=False))
        >>> table.groupby("patch")["correct"].count().to_dict()
        {'baseline': 4, 'poet@1': 4}
    """
    if not questions or not patches:
        raise RoleLensError(
            f"evaluate needs at least one question and one patch, got {len(questions)} and "
            f"{len(patches)}"
        )
    candidates = [combined(patch) for patch in patches.values()]
    for patch in (part for candidate in candidates for part in candidate):
        patch.check(model)
    if asking.scoring == GENERATE:
        how = generation or Generation()
        return score_generated(
            model, questions, patches, how, system=asking.system, progress=compute.progress
        )
    multiple_choice = [question for question in questions if isinstance(question, Question)]
    if len(multiple_choice) < len(questions):
        raise RoleLensError(
            f"questions without choices are for scoring='generate', not {asking.scoring!r}"
        )
    asked = Asker(model, asking, compute).ask(multiple_choice)
    scorer = asked.scorer()
    columns: list[dict[str, np.ndarray]] = [{} for _ in candidates]
    with tqdm(
        total=len(asked) * len(patches), desc="questions", disable=not compute.progress
    ) as bar:
        for chunk in in_chunks(scorer, [(first_layer(c), form(c)) for c in candidates]):
            summed = scorer.logprobs([candidates[index] for index in chunk])
            for index, scores in zip(chunk, summed, strict=True):
                columns[index] = asked.score_columns(scores)
            bar.update(len(asked) * len(chunk))
    tables = [
        asked.describe().assign(**scores).assign(patch=name)
        for name, scores in zip(patches, columns, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["patch", *table.columns.drop("patch")]]


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each patch, and more, from the table that `evaluate` returns.

    Returns:
        One row per patch: `patch, n` (questions), `accuracy` beside `chance`; for letters and cloze
        the mean `logprob_correct` (nats) and `choice_mass`, for generated answers the shares that
        were `truncated` and `unreadable`.

    Examples:
        >>> patches = {"baseline": None, "poet@1": vectors.add("poet", layer=1)}
        >>> table = evaluate(model, questions, patches, compute=Compute(progress=False))
        >>> summarize(table)[["patch", "n"]].values.tolist()
        [['baseline', 4], ['poet@1', 4]]
    """
    table = table.assign(chance=1 / table["n_choices"])
    means = {"accuracy": "correct", "chance": "chance"}
    if "text" in table.columns:
        table["unreadable"] = ~table["readable"]
        means |= {"truncated": "truncated", "unreadable": "unreadable"}
    else:
        means |= {"logprob_correct": "logprob_correct", "choice_mass": "choice_mass"}
    by_patch = table.groupby("patch", sort=False)
    columns = {name: by_patch[column].mean() for name, column in means.items()}
    return pd.DataFrame({"n": by_patch.size(), **columns}).reset_index()
