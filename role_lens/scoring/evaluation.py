"""Scores questions under patches, and summarizes the scores.

    table = evaluate(model, questions, {"baseline": None, "nurse": patch}, Asking(scoring="cloze"))
    summarize(table)

For every candidate direction of a grid, `sweep` does the same, and keeps what is finished.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from role_lens._run.exclusive import has_model_to_itself
from role_lens.checks import check_is
from role_lens.compute import Compute
from role_lens.errors import RoleLensError
from role_lens.models import Model
from role_lens.patches.patch import Patches, first_layer, form, named_patches
from role_lens.questions.question import NumericQuestion, Question, question_list
from role_lens.scoring.asked import Asker
from role_lens.scoring.asking import GENERATE, Asking
from role_lens.scoring.engine import in_chunks
from role_lens.scoring.generated import score_generated
from role_lens.scoring.generation_options import Generation
from role_lens.values import shown

_LIKELIHOOD = ("margin", "logprob_correct", "choice_mass")
"""Columns of the table that only scoring by likelihood gives."""


@has_model_to_itself
def evaluate(
    model: Model,
    questions: Iterable[Question | NumericQuestion],
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
      turn, and letters as the template writes them in the assistant's turn; base models get the
      text itself and letters after a space. Letters that are not single tokens are scored as
      sequences.
    - `cloze`: the question alone, and the log-likelihood of each option's text as the answer,
      divided by its number of tokens (Brown et al. 2020, arXiv 2005.14165, section 2.4).
    - `generate`: the answer that the model writes, read from its text. Only this one takes
      `NumericQuestion`s, and it returns other columns: see `role_lens.scoring.score_generated`.

    Args:
        patches: name -> a patch, several that act together, or None for the unpatched model.
        asking: scoring, layout, system message and examples.
        generation: how answers are written, for `generate` only; None for greedy direct answers.
        compute: batches and progress.

    Returns:
        One row per patch and question: `patch, question_id, domain, subject, n_choices` (options),
        `answer, predicted, correct, margin` (how far the right option stands above the wrong ones,
        see `role_lens.scoring.margins`; 0 is chance; missing where these questions can't tell it),
        `logprob_correct` (log of p(correct) normalised over the options, in nats), `entropy` (over
        the options, in nats), `choice_mass` (probability of all options together), and `logprob_0
        …`, the score of each option in nats: for `letter` log p over the whole vocabulary, for
        `cloze` per token of the option.

    Raises:
        RoleLensError: no questions or patches, a prompt longer than the model's context, a patch
            that doesn't fit the model or can't change what is scored, or `generation` for another
            scoring than `generate`.

    Examples:
        >>> patches = {"baseline": None, "poet@1": vectors.add("poet", layer=1)}
        >>> table = evaluate(model, questions, patches, compute=Compute(progress=False))
        >>> table.groupby("patch")["correct"].count().to_dict()
        {'baseline': 4, 'poet@1': 4}
    """
    listed: list[Question | NumericQuestion] = question_list(questions)
    check_is(asking, Asking, "asking")
    check_is(compute, Compute, "compute")
    if generation is not None:
        check_is(generation, Generation, "generation")
    candidates = list(named_patches(patches).values())
    if not listed or not patches:
        raise RoleLensError(
            f"evaluate needs at least one question and one patch, got {len(listed)} and "
            f"{len(patches)}"
        )
    if generation is not None and asking.scoring != GENERATE:
        raise RoleLensError(
            f"generation is for scoring={GENERATE!r}, got {asking.scoring!r}: leave it out"
        )
    for patch in (part for candidate in candidates for part in candidate):
        patch.check(model)
    if asking.scoring == GENERATE:
        how = generation or Generation()
        return score_generated(
            model, listed, patches, how, system=asking.system, progress=compute.progress
        )
    multiple_choice = [question for question in listed if isinstance(question, Question)]
    if len(multiple_choice) < len(listed):
        raise RoleLensError(
            f"questions without choices are for scoring='generate', not {asking.scoring!r}"
        )
    asked = Asker(model, asking, compute).ask(multiple_choice)
    for name, candidate in zip(patches, candidates, strict=True):
        asked.check_masks(candidate, f"patch {name!r}")
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
        One row per patch: `patch, n` (questions), `accuracy` with its standard error over questions
        `accuracy_se`, beside `chance`; for letters and cloze the mean `margin` with `margin_se`,
        `logprob_correct` (nats), and `choice_mass`; for generated answers the shares that were
        `truncated` and `unreadable`. Standard errors are of each patch alone: differences between
        patches are paired by question, and far more certain (`role_lens.statistics`).

    Examples:
        >>> patches = {"baseline": None, "poet@1": vectors.add("poet", layer=1)}
        >>> table = evaluate(model, questions, patches, compute=Compute(progress=False))
        >>> summarize(table)[["patch", "n"]].values.tolist()
        [['baseline', 4], ['poet@1', 4]]
    """
    given = {*getattr(table, "columns", ())}
    needed = {"text", "readable", "truncated"} if "text" in given else {*_LIKELIHOOD}
    if not {"patch", "correct", "n_choices", *needed} <= given:
        raise RoleLensError(f"expected a table that evaluate returns, got {shown(table)}")
    table = table.assign(chance=1 / table["n_choices"])
    means = {"accuracy": "correct", "chance": "chance"}
    errors = {"accuracy_se": "accuracy"}
    if "text" in table.columns:
        table["unreadable"] = ~table["readable"]
        means |= {"truncated": "truncated", "unreadable": "unreadable"}
    else:
        means |= {name: name for name in _LIKELIHOOD}
        errors |= {"margin_se": "margin"}
    by_patch = table.groupby("patch", sort=False)
    columns = {}
    for name, column in means.items():
        columns[name] = by_patch[column].mean()
        for error in (error for error, of in errors.items() if of == name):
            columns[error] = by_patch[column].sem()
    return pd.DataFrame({"n": by_patch.size(), **columns}).reset_index()
