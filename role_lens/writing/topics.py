"""Has a model list what a role's work, or everyday life, is made of.

    topics(writer, "beekeeper", Sampling(temperature=0.8))    # ["varroa mites", ...]

A small model that is asked for a prompt of a certain form keeps to what the form suggests. With a
topic given, it has something to write about.
"""

import random
import re

from role_lens.generation import Sampling
from role_lens.judges.likelihood import names_role
from role_lens.prompts import with_article
from role_lens.writing.sifting import bare_line, is_refusal
from role_lens.writing.writers import Writer

_OF_WORK = (
    "tools, materials and machines used",
    "tasks of an ordinary day",
    "things that often go wrong",
    "measurements, records and plans made",
    "skills to be learned",
    "subjects to read up on",
    "rules, risks and safety",
    "choices to be made between two ways of doing something",
)
_OF_LIFE = (
    "dishes, ingredients and meals",
    "pets and other animals",
    "repairs, cleaning and furniture at home",
    "plants, gardens and weather",
    "trips, journeys and sights",
    "family, friends and celebrations",
    "hobbies, games and sport",
    "music, films and books",
)
_REQUEST = (
    "List {n} different {what}{where}. Write one a line, each in two to six words, and nothing "
    "else."
)
_AT_ONCE = 12  # topics in one list
_TOKENS = 12  # for each of them
_MOST_WORDS = 8


def topics(writer: Writer, role: str | None, sampling: Sampling) -> list[str]:
    """What prompts may be about: up to 96 matters of a role's work, or of everyday life.

    Args:
        writer: who is asked.
        role: name of the role; None for everyday life.
        sampling: the writer's temperature, and the seed of its random numbers and of the order.

    Returns:
        Topics in a random order, each once, none of which names the role. There may be none.

    Raises:
        RoleLensError: the writer doesn't answer.
    """
    where = "" if role is None else f" in the work of {with_article(role)}"
    asked = [
        _REQUEST.format(n=_AT_ONCE, what=what, where=where)
        for what in (_OF_LIFE if role is None else _OF_WORK)
    ]
    lists = writer.write(asked, sampling=sampling, max_new_tokens=_AT_ONCE * _TOKENS)
    found: dict[str, str] = {}
    for text in lists:
        for topic in _listed(text or "")[:_AT_ONCE]:
            if role is None or not names_role(topic, role):
                found.setdefault(topic.casefold(), topic)
    ordered = list(found.values())
    random.Random(sampling.seed).shuffle(ordered)
    return ordered


def _listed(text: str) -> list[str]:
    """The topics of a list, without its introduction and what explains them."""
    lines = [bare_line(line) for line in text.splitlines()]
    while lines and (not lines[0] or lines[0].endswith((":", "!"))):
        lines.pop(0)
    heads = [re.split(r"[:;(–—]|(?<=\w\w)\.(?=\s|$)", line)[0].strip() for line in lines]
    return [
        head
        for head in heads
        if re.search(r"[^\W\d]{2}", head)
        and len(head.split()) <= _MOST_WORDS
        and not is_refusal(head)
    ]
