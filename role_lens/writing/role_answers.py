"""Has the model answer the same questions in each role and plainly, and keeps what is in its role.

    answers = write_answers(model, ["economist", "nurse"], "answers")

The finder `answers` makes directions of them.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from role_lens.chat import chat_text, template_identity
from role_lens.checks import check_is
from role_lens.compute import Compute
from role_lens.errors import RoleLensError
from role_lens.experiments.settings import settings_of
from role_lens.experiments.store import ARRAY, TABLE, claimed
from role_lens.files import write_json_lines
from role_lens.generation import generate
from role_lens.judges.likelihood import ranks, role_likelihoods
from role_lens.models import Model
from role_lens.prompts import load_roles, persona_prompts, role_name
from role_lens.scoring.identity import content_hash, model_identity
from role_lens.values import as_list, shown
from role_lens.writing.answer_options import AnswerOptions
from role_lens.written_answers import ANSWERS, WrittenAnswer

_COLUMNS = ["system", "question", "answer"]


def write_answers(
    model: Model,
    roles: Sequence[str],
    out: str | Path,
    options: AnswerOptions = AnswerOptions(),
    compute: Compute = Compute(),
) -> list[WrittenAnswer]:
    """Write answers in each role, and plain ones, to the same questions, and judge the former.

    In a role, the system message is its persona prompt, in some phrasings; plainly, it is the chat
    template's own. Decoding is greedy. The unchanged model then ranks the names of all roles by
    their likelihood as what the text is about, each compared with its mean over the plain
    answers; the built-in roles are among the names, so that a single role can be judged too.
    An answer is kept where its role comes among the first. A small model is a poor judge, see
    `role_lens.judges`.

    Args:
        model: what writes, and judges; its directions are found in the answers.
        roles: names, one or more.
        out: run folder: a new one, or one of the same answers, which goes on where it was stopped.
        options: questions, phrasings, lengths, and what is kept.
        compute: batches and progress.

    Returns:
        All answers, those that are left out too. `out` holds them as `answers.jsonl`.

    Raises:
        RoleLensError: no role or two of the same name, a chat template that takes no system
            message, a folder that holds other answers.

    Examples:
        >>> from role_lens.writing import AnswerOptions, write_answers
        >>> options = AnswerOptions(questions=("What matters?",), n_phrasings=1, max_new_tokens=4)
        >>> found = write_answers(model, ["poet"], folder / "run", options, Compute(progress=False))
        >>> [(one.role, one.system) for one in found]
        [(None, None), ('poet', 'You are a poet.')]
    """
    check_is(options, AnswerOptions, "options")
    check_is(compute, Compute, "compute")
    names = _names(roles)
    chat_text(model, options.questions[0], persona_prompts(names[0])[0])  # may refuse
    among = tuple(sorted({*names, *load_roles("builtin")}))
    identity = {
        "run": "answers",
        **model_identity(model),
        **template_identity(model),
        **settings_of(options, leave_out=("within",)),
        "roles": list(names),
    }
    with claimed(out, identity) as store:
        plain = store.keep("plain.parquet", partial(_plain, model, options, compute), TABLE)
        written = [text for text in plain["answer"] if text]
        if not written:
            raise RoleLensError("all plain answers are empty: ask other questions")
        judge = partial(role_likelihoods, model, roles=among, compute=compute)
        usual = store.keep("usual.npy", lambda: judge(written).mean(axis=0), ARRAY)
        found = [WrittenAnswer(None, None, q, a, bool(a)) for q, a in _texts(plain)]
        for role in names:
            own = store.keep(
                f"role-{content_hash(role)[:16]}.parquet",
                partial(_in_role, model, role, among, usual, options, compute),
                TABLE,
            )
            first = math.ceil(options.within * len(among))
            for row in own.to_dict("records"):
                system, question, answer = map(str, (row[name] for name in _COLUMNS))
                kept = bool(answer) and row["rank"] <= first
                found.append(WrittenAnswer(role, system, question, answer, kept, row["rank"]))
        write_json_lines(store.path / ANSWERS, [asdict(one) for one in found])
    return found


def _names(roles: Sequence[str]) -> tuple[str, ...]:
    listed = as_list(roles)
    if not listed:
        raise RoleLensError(f"roles must be names such as ['nurse'], got {shown(roles)}")
    names = tuple(role_name(role) for role in listed)
    if len(set(names)) < len(names):
        raise RoleLensError(f"two roles have the same name: {sorted(names)}")
    return names


def _texts(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["question"], table["answer"], strict=True))


def _written(
    model: Model, system: str | None, options: AnswerOptions, compute: Compute
) -> pd.DataFrame:
    questions = list(options.questions)
    texts = generate(
        model,
        questions,
        system=system,
        max_new_tokens=options.max_new_tokens,
        progress=compute.progress,
    )
    return pd.DataFrame({"system": system, "question": questions, "answer": texts})


def _plain(model: Model, options: AnswerOptions, compute: Compute) -> pd.DataFrame:
    return _written(model, None, options, compute)


def _in_role(
    model: Model,
    role: str,
    among: Sequence[str],
    usual: Float[ndarray, " role"],
    options: AnswerOptions,
    compute: Compute,
) -> pd.DataFrame:
    """Answers of one role, and the rank of the role for each."""
    systems = persona_prompts(role)[: options.n_phrasings]
    table = pd.concat(
        [_written(model, system, options, compute) for system in systems], ignore_index=True
    )
    likelihoods = role_likelihoods(model, list(table["answer"]), among, compute=compute)
    return table.assign(rank=ranks(likelihoods, usual)[:, list(among).index(role)])
