"""Asks a model behind an OpenAI-compatible endpoint which role a text is about.

    endpoint = Endpoint("http://localhost:8000/v1", model="judge")
    ask_endpoint(["I write in verse."], ["poet", "nurse"], endpoint)  # ["poet"]

Texts and names of roles are sent to the address that is given, and nowhere else.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from role_lens.errors import RoleLensError
from role_lens.experiments.store import TABLE, Store
from role_lens.files import make_folder
from role_lens.scoring.identity import content_hash

_MAX_TOKENS = 512  # some judges think before they answer
_ASK = (
    "Text:\n\n{text}\n\nWhich one of these is the text most clearly about: {roles}? "
    "Answer with that word or words alone, or with: none."
)
# All others are dropped: the client takes some from the environment (OPENAI_ORG_ID,
# OPENAI_CUSTOM_HEADERS, ...) and describes this machine in more.
_HEADERS_SENT = {
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "proxy-authorization",
    "transfer-encoding",
    "user-agent",
    "x-stainless-raw-response",  # the client looks for it when the answer comes
}


@dataclass(frozen=True)
class Endpoint:
    """Where a role judge is asked, and how long it is waited for.

    Raises:
        RoleLensError: the address begins with neither `http://` nor `https://`, the key has
            characters that a header can't carry, the time is not above zero or not finite, or the
            number of retries is negative.

    Examples:
        >>> from role_lens.judges import Endpoint
        >>> Endpoint("http://localhost:8000/v1", model="judge", key="secret", timeout=10.0)
        Endpoint(url='http://localhost:8000/v1', model='judge', timeout=10.0, retries=2)
    """

    url: str
    """Address of the API, such as `http://localhost:8000/v1`; `/chat/completions` under it is
    asked."""
    model: str
    """The role judge's name there."""
    key: str | None = field(default=None, repr=False)
    """Sent as bearer token; without a key none is sent. The printed record does not show it."""
    timeout: float = 60.0
    """Seconds that one try may wait for the server: to connect, or for more of its answer."""
    retries: int = 2
    """How often a text is asked about again after a time-out, a broken connection, or a status
    that may pass (408, 409, 429, 500 and above). The wait before a retry is about half a second
    at first, and doubles each time, up to 8 seconds; or it is as long as the server says, up to
    2 minutes."""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise RoleLensError(
                f"the role judge's address must begin with http:// or https://, got {self.url!r}"
            )
        # Checked here because the client's own message would show the key.
        if self.key is not None and not re.fullmatch(r"[!-~]*", self.key):
            raise RoleLensError(
                "the role judge's key must be of printable ASCII characters, without spaces or "
                "line ends"
            )
        if not 0 < self.timeout < math.inf:
            raise RoleLensError(
                f"the role judge's timeout must be above 0 seconds, got {self.timeout}"
            )
        if self.retries < 0:
            raise RoleLensError(f"retries must be at least 0, got {self.retries}")


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
        The role of each text, spelled as in `roles`; None where the role judge names none of them,
        or several.

    Raises:
        RoleLensError: the endpoint can't be reached, refuses, redirects elsewhere, or answers in
            another form.

    Examples:
        >>> from role_lens.judges import Endpoint, ask_endpoint
        >>> nobody = Endpoint("http://127.0.0.1:9", model="judge", retries=0)
        >>> ask_endpoint(["I write in verse."], ["poet", "nurse"], nobody)
        Traceback (most recent call last):
            ...
        role_lens.errors.RoleLensError: the role judge at http://127.0.0.1:9/chat/completions ...
    """
    import openai  # here, because it takes a second and few need it

    base = endpoint.url.rstrip("/")
    judged = {}
    try:
        with openai.OpenAI(
            base_url=base,
            api_key=endpoint.key or "none",  # must be given; `_answer` decides what is sent
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
            http_client=openai.DefaultHttpxClient(
                follow_redirects=False,  # the texts would be sent elsewhere
                event_hooks={"request": [_drop_other_headers]},
            ),
        ) as client:
            for text in dict.fromkeys(texts):
                judged[text] = _named(_answer(client, text, roles, endpoint), roles)
    except Exception as error:  # the client's, HTTP's, JSON's: they have no common base
        raise RoleLensError(
            f"the role judge at {base}/chat/completions gave no answer: {_reason(error)}"
        ) from error
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
        >>> from role_lens.judges import Endpoint, ask_and_keep
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
        asked = [_ASK, _MAX_TOKENS, endpoint.url, endpoint.model]
        name = content_hash(some, list(roles), asked)[:16]
        table = Store(make_folder(folder)).keep(
            f"judge-{name}.parquet", partial(answers, some), TABLE
        )
        said += [None if pd.isna(one) else one for one in table["judge"]]
    return said


def _answer(client: Any, text: str, roles: Sequence[str], endpoint: Endpoint) -> str:
    """What the role judge says of one text, thoughts included."""
    from openai import Omit

    content = _ASK.format(text=text, roles=", ".join(roles))
    # Raw, because the client checks no answer's form, and takes JSON for text where the server
    # does not call it JSON.
    reply = client.chat.completions.with_raw_response.create(
        model=endpoint.model,
        messages=[{"role": "user", "content": content}],
        temperature=0,
        max_tokens=_MAX_TOKENS,
        extra_headers={"Authorization": f"Bearer {endpoint.key}" if endpoint.key else Omit()},
    )
    answer = json.loads(reply.content)["choices"][0]["message"]["content"]
    if not isinstance(answer, str) or ("<think>" in answer and "</think>" not in answer):
        raise TypeError(f"no answer within {_MAX_TOKENS} tokens, but {str(answer)[:60]!r}")
    return answer


def _drop_other_headers(request: Any) -> None:
    for name in list(request.headers):
        if name.lower() not in _HEADERS_SENT:
            del request.headers[name]


def _reason(error: Exception) -> str:
    """Why there is no answer, in one line: what the server says, or how the connection failed."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        told = f"{error.status_code} {error.response.reason_phrase}: {error.response.text}"
    elif isinstance(error, APIConnectionError):  # says itself only that there was none
        told = repr(error.__cause__ or error)
    else:
        told = str(error)
    return " ".join(f"{type(error).__name__}: {told}".split())[:500]


def _named(answer: str, roles: Sequence[str]) -> str | None:
    answer = answer.rpartition("</think>")[2]  # not every server takes the thoughts off
    said = re.sub(r"^(an?|the) ", "", answer.strip().strip(".\"'*`").casefold())
    return next((role for role in roles if role.casefold() == said), None)
