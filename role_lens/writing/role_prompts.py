"""Has a model write prompts of a role, or base prompts, and sifts them.

    written = write_prompts(model, "beekeeper", "prompts")
    written.prompts, written.account()

`role-lens fit --prompts builtin prompts` reads what it writes.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from role_lens.checks import check_is
from role_lens.endpoint import Endpoint
from role_lens.errors import RoleLensError
from role_lens.experiments.settings import settings_of
from role_lens.experiments.store import TABLE, claimed
from role_lens.files import make_folder, write_json_lines
from role_lens.generation import Sampling
from role_lens.models import Model
from role_lens.prompts import load_prompts, load_roles, role_name, spread, with_article
from role_lens.scoring.identity import content_hash
from role_lens.writing.forms import Form, Places
from role_lens.writing.prompt_options import TASKS, PromptOptions
from role_lens.writing.sifting import LeftOut, Sieve, cleaned
from role_lens.writing.topics import topics
from role_lens.writing.writers import Writer, writer_of

AT_ONCE = 16
"""Requests whose answers are kept together."""
BASE = "base_prompts"
"""The folder of base prompts, apart from the files of roles."""
_MORE_TOKENS = 32  # beside three for each word: what a writer says before the prompt
_PLAIN = 32  # base prompts with which the likelihood of each name is compared
_WORK, _EVERYDAY = "the matters of that work", "everyday matters at home"
_REQUEST = (
    "{who}Write one message that {writer} would type to an assistant{at_work}. It is about {topic}"
    '{unnamed}. The message begins with "{opening}" and has {least} to {most} words. Answer with '
    "the message alone."
)


@dataclass(frozen=True)
class WrittenPrompts:
    """Prompts that were written and kept, and what was left out.

    Examples:
        >>> from role_lens.writing import LeftOut, WrittenPrompts
        >>> WrittenPrompts("nurse", ("Why?",), (("", LeftOut.EMPTY),), 1).account()
        '1 of 2 prompts wanted; left out: empty (1)'
    """

    role: str | None
    """The role; None for base prompts."""
    prompts: tuple[str, ...]
    left_out: tuple[tuple[str, LeftOut], ...]
    """What was written else, and why it was left out."""
    n_open: int
    """How many prompts are missing."""

    def account(self) -> str:
        """How many were written and left out, and why, in a line."""
        n = len(self.prompts)
        counts = Counter(reason for _, reason in self.left_out)
        told = ", ".join(f"{reason.value} ({count})" for reason, count in counts.most_common())
        return f"{n} of {n + self.n_open} prompts wanted; left out: {told or 'none'}"


def write_prompts(
    writer: Model | Endpoint,
    role: str | None,
    out: str | Path,
    options: PromptOptions = PromptOptions(),
) -> WrittenPrompts:
    """Write prompts that a person of a role would type, or base prompts, and sift them.

    ```python
    written = write_prompts(model, "beekeeper", "prompts")
    written.account()      # "64 of 64 prompts wanted; left out: ..."
    ```

    The writer first lists what the role's work is made of, and then writes about one of these
    topics after another. Each prompt fills an open place, whose beginning and length are those of a
    base prompt, so that the role's prompts differ from these in their matter and not in their form;
    a loaded model is made to begin so. Left out are empty answers, refusals, prompts that name the
    role or nearly repeat another, those that fit no open place, and those that the role judge takes
    to be about another role. Of a loaded model, the judge is the model itself.

    Args:
        writer: a loaded model, or an endpoint.
        role: name of the role; None for base prompts, about everyday matters.
        out: folder: `<role>.jsonl` is written there (`base_prompts/base.jsonl` for base prompts)
            if there is a prompt, and in a folder of that name what the writer said, so that a
            stopped run goes on. What was left out is in its `left_out.jsonl`.
        options: how many, of which form, and how they are sifted.

    Returns:
        The prompts, and what was left out. They are fewer than wanted where the writer's answers
        were too seldom of use.

    Raises:
        RoleLensError: a role whose name can't be that of a file, an endpoint that doesn't answer,
            or a folder that holds another run.

    Examples:
        >>> from role_lens.writing import write_prompts
        >>> nobody = Endpoint("http://127.0.0.1:9", model="writer", retries=0)
        >>> write_prompts(nobody, "beekeeper", folder / "prompts")
        Traceback (most recent call last):
            ...
        role_lens.errors.RoleLensError: the writer at http://127.0.0.1:9/chat/completions ...
    """
    check_is(options, PromptOptions, "options")
    name = BASE if role is None else _file_name(role)
    like = load_prompts("builtin") if options.like is None else options.like
    asked = writer_of(writer, spread(load_prompts("builtin"), _PLAIN))
    places = Places(like or _tasks(), options.n, options.seed)
    sieve = Sieve(None if role is None else role_name(role), places)
    folder = make_folder(out)
    identity = {
        "run": "prompts",
        "role": sieve.role,
        **asked.identity(),
        **settings_of(options, leave_out=("like", "persons", "tries")),
        "like": content_hash(list(like)),
        "persons": content_hash(list(options.persons)),
    }
    left_out: list[tuple[str, LeftOut]] = []
    with claimed(folder / name, identity) as store:
        list_topics = partial(_topics, asked, sieve.role, options)
        about = list(store.keep("topics.parquet", list_topics, TABLE)["topic"])
        for start in range(0, options.most_requests, AT_ONCE):
            if not places.n_open:
                break
            forms = [places.wanted() for _ in range(AT_ONCE)]
            write = partial(_texts, asked, sieve.role, forms, about, options, start)
            texts = _or_none(store.keep(f"texts-{start:06}.parquet", write, TABLE)["text"])
            judge = partial(_judged, asked, texts, sieve.role, options)
            said = _or_none(store.keep(f"judged-{start:06}.parquet", judge, TABLE)["in_role"])
            for text, in_role in zip(texts, said, strict=True):
                if not places.n_open:
                    break
                prompt = None if text is None else cleaned(text)
                if (reason := sieve.reason(prompt, in_role=in_role)) is not None:
                    left_out.append((prompt or "", reason))
        rows = [{"text": text, "reason": reason.value} for text, reason in left_out]
        write_json_lines(store.path / "left_out.jsonl", rows)
    if sieve.kept:
        lines = [{"instruction": prompt} for prompt in sieve.kept]
        file = store.path / "base.jsonl" if role is None else folder / f"{name}.jsonl"
        write_json_lines(file, lines)
    return WrittenPrompts(sieve.role, tuple(sieve.kept), tuple(left_out), places.n_open)


def _file_name(role: str) -> str:
    name = role_name(role).replace(" ", "_")
    if not name or re.search(r'^[.~]|[\\/:*?"<>|\x00-\x1f]', name) or name == BASE:
        raise RoleLensError(
            f"the role's name is that of its file, and {role!r} can't be one: choose a name of "
            "letters, digits and spaces"
        )
    return name


def _or_none(column: pd.Series) -> list[Any]:
    """The values of a column, None where there is none."""
    return column.astype(object).where(column.notna(), None).tolist()


def _topics(writer: Writer, role: str | None, options: PromptOptions) -> pd.DataFrame:
    found = topics(writer, role, Sampling(options.temperature, options.seed))
    return pd.DataFrame({"topic": found}, dtype="string")


def _texts(
    writer: Writer,
    role: str | None,
    forms: Sequence[Form],
    about: Sequence[str],
    options: PromptOptions,
    start: int,
) -> pd.DataFrame:
    """What the writer says when it is asked for prompts of some forms."""
    asked = range(start, start + len(forms))
    requests = [
        _request(role, form, about, options, i) for i, form in zip(asked, forms, strict=True)
    ]
    texts = writer.write(
        requests,
        begun=[form.opening for form in forms],
        sampling=Sampling(options.temperature, options.seed + start),
        max_new_tokens=3 * max(form.most for form in forms) + _MORE_TOKENS,
    )
    return pd.DataFrame({"text": texts}, dtype="string")


def _judged(
    writer: Writer, texts: Sequence[str | None], role: str | None, options: PromptOptions
) -> pd.DataFrame:
    """What the role judge says of texts; nothing of those that are empty, or of no role."""
    in_role: list[bool | None] = [True] * len(texts)
    judged = [i for i, text in enumerate(texts) if text is not None and cleaned(text)]
    if role is not None and judged:
        among = sorted({role, *load_roles("builtin")})
        prompts = [cleaned(texts[i] or "") for i in judged]
        said = writer.in_role(prompts, role, among, options.within)
        for i, one in zip(judged, said, strict=True):
            in_role[i] = one
    return pd.DataFrame({"in_role": in_role}, dtype="boolean")


def _request(
    role: str | None, form: Form, about: Sequence[str], options: PromptOptions, number: int
) -> str:
    persons = options.persons
    who = f"Here is a person: {persons[number % len(persons)]}\n" if persons else ""
    if role is None:
        somebody = "this person" if persons else "somebody"
    else:
        somebody = "this person" if persons else with_article(role)
    matters = about or (_EVERYDAY if role is None else _WORK,)
    return _REQUEST.format(
        who=who,
        writer=somebody,
        at_work="" if role is None else " at work",
        # A person's next prompt is about another topic, also where there are as many of both.
        topic=matters[(number + (number // len(persons) if persons else 0)) % len(matters)],
        unnamed="" if role is None else ", and does not name the profession",
        opening=form.opening,
        least=form.least,
        most=form.most,
    )


def _tasks() -> list[str]:
    """Made-up prompts that begin with each kind of task, and are of all lengths."""
    return [" ".join([task, *["x"] * n]) for task in TASKS for n in (5, 9, 14, 20)]
