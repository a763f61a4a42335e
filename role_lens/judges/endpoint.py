"""Asks a model behind an OpenAI-compatible endpoint which role a text is about.

    endpoint = Endpoint("http://localhost:8000/v1", model="judge")
    ask_endpoint(["I write in verse."], ["poet", "nurse"], endpoint)  # ["poet"]

Texts and names of roles are sent to the address that is given, and nowhere else.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd

from role_lens.endpoint import Ask, Endpoint, asking
from role_lens.errors import RoleLensError, UnreadableError
from role_lens.experiments.store import TABLE, Store
from role_lens.files import make_folder
from role_lens.scoring.identity import content_hash
from role_lens.values import shown

_ASK = (
    "Text:\n\n{text}\n\nWhich one of these is the text most clearly about: {roles}? "
    "Answer with that word or words alone, or with: none."
)


def ask_endpoint(
    texts: Sequence[str], roles: Sequence[str], endpoint: Endpoint
) -> list[str | None]:
    """Ask a role judge which role each text is about. Texts that are equal are asked about once.

    ```python
    endpoint = Endpoint("http://localhost:8000/v1", model="judge")
    ask_endpoint(["I write in verse.", "It rains."], ["poet", "nurse"], endpoint)
    # ["poet", None]
    ```

    Args:
        texts: what the role judge reads, one text in each request.
        roles: names that it chooses from.
        endpoint: where it is asked.

    Returns:
        The role of each text, spelled as in `roles`; None where the role judge names none of them
        alone.

    Raises:
        RoleLensError: the endpoint can't be reached, refuses, redirects elsewhere, or answers in
            another form.

    Examples:
        >>> from role_lens.judges import ask_endpoint
        >>> nobody = Endpoint("http://127.0.0.1:9", model="judge", retries=0)
        >>> ask_endpoint(["I write in verse."], ["poet", "nurse"], nobody)
        Traceback (most recent call last):
            ...
        role_lens.errors.RoleLensError: the role judge at http://127.0.0.1:9/chat/completions ...
    """
    judged: dict[str, str | None] = {}
    with asking(endpoint, "role judge") as ask:
        for text in dict.fromkeys(texts):
            judged[text] = None
            with suppress(UnreadableError):
                judged[text] = named_role(ask, text, roles)
    return [judged[text] for text in texts]


def ask_and_keep(
    texts: Sequence[str],
    roles: Sequence[str],
    folder: str | Path,
    endpoint: Endpoint,
    *,
    at_once: int = 50,
) -> list[str | None]:
    """Ask a role judge as `ask_endpoint` does, and keep its answers in a folder.

    Another call with the same texts reads the answers from there, so that a run that was stopped
    asks only what is missing.

    ```python
    endpoint = Endpoint("http://localhost:8000/v1", model="judge")
    ask_and_keep(["I write in verse."], ["poet", "nurse"], Path("answers"), endpoint)
    # ["poet"]; a second call reads it from the folder
    ```

    Args:
        texts: what the role judge reads, one text in each request.
        roles: names that it chooses from.
        folder: where answers are kept, in files named by texts, roles, address and model; made if
            there is none.
        endpoint: where the role judge is asked.
        at_once: texts whose answers are kept together; if one of them fails, all of them are asked
            about again. With another number texts are asked about anew.

    Returns:
        As `ask_endpoint`.

    Raises:
        RoleLensError: as from `ask_endpoint`, `at_once` is below 1, or the folder can't be written
            to.

    Examples:
        >>> from role_lens.judges import ask_and_keep
        >>> nobody = Endpoint("http://127.0.0.1:9", model="judge", retries=0)
        >>> ask_and_keep(["I write in verse."], ["poet", "nurse"], folder / "answers", nobody)
        Traceback (most recent call last):
            ...
        role_lens.errors.RoleLensError: the role judge at http://127.0.0.1:9/chat/completions ...
    """
    if at_once < 1:
        raise RoleLensError(f"at_once must be at least 1, got {at_once}")

    def answers(some: Sequence[str]) -> pd.DataFrame:
        return pd.DataFrame({"judge": ask_endpoint(some, roles, endpoint)})

    said: list[str | None] = []
    for start in range(0, len(texts), at_once):
        some = list(texts[start : start + at_once])
        asked = [_ASK, endpoint.url, endpoint.model]
        name = content_hash(some, list(roles), asked)[:16]
        table = Store(make_folder(folder)).keep(
            f"judge-{name}.parquet", partial(answers, some), TABLE
        )
        said += [None if pd.isna(one) else one for one in table["judge"]]
    return said


def named_role(ask: Ask, text: str, roles: Sequence[str]) -> str | None:
    """The role that a text is about, as a role judge that `ask` asks says; None for none of them.

    Raises:
        UnreadableError: it says something else.
        RoleLensError: as `ask`.
    """
    answer = ask(_ASK.format(text=text, roles=", ".join(roles)))
    said = re.sub(r"^(an?|the) ", "", answer.strip().strip(".\"'*`").casefold())
    for role in roles:
        if role.casefold() == said:
            return role
    if re.match(r"none\b", said):
        return None
    raise UnreadableError(
        f"the role judge's answer must be the name of a role alone, or none, got {shown(answer)}"
    )
