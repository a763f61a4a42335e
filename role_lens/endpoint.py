"""Asks a model behind an OpenAI-compatible endpoint.

    with asking(Endpoint("http://localhost:8000/v1", model="some-model"), "writer") as ask:
        ask("Write a line of verse.", temperature=1.0)

What is asked is sent to the address that is given, and nowhere else.
"""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from role_lens.errors import RoleLensError

_MAX_TOKENS = 512  # some models think before they answer
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
    """Where a model is asked over HTTP, and how long it is waited for.

    Raises:
        RoleLensError: the address begins with neither `http://` nor `https://`, the key has
            characters that a header can't carry, the time is not above zero or not finite, or the
            number of retries is negative.

    Examples:
        >>> Endpoint("http://localhost:8000/v1", model="judge", key="secret", timeout=10.0)
        Endpoint(url='http://localhost:8000/v1', model='judge', timeout=10.0, retries=2)
    """

    url: str
    """Address of the API, such as `http://localhost:8000/v1`; `/chat/completions` under it is
    asked."""
    model: str
    """The model's name there."""
    key: str | None = field(default=None, repr=False)
    """Sent as bearer token; without a key none is sent. The printed record does not show it."""
    timeout: float = 60.0
    """Seconds that one try may wait for the server: to connect, or for more of its answer."""
    retries: int = 2
    """How often something is asked again after a time-out, a broken connection, or a status
    that may pass (408, 409, 429, 500 and above). The wait before a retry is about half a second
    at first, and doubles each time, up to 8 seconds; or it is as long as the server says, up to
    2 minutes."""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise RoleLensError(
                f"the endpoint's address must begin with http:// or https://, got {self.url!r}"
            )
        # Checked here because the client's own message would show the key.
        if self.key is not None and not re.fullmatch(r"[!-~]*", self.key):
            raise RoleLensError(
                "the endpoint's key must be of printable ASCII characters, without spaces or "
                "line ends"
            )
        if not 0 < self.timeout < math.inf:
            raise RoleLensError(
                f"the endpoint's timeout must be above 0 seconds, got {self.timeout}"
            )
        if self.retries < 0:
            raise RoleLensError(f"retries must be at least 0, got {self.retries}")


@runtime_checkable
class Ask(Protocol):
    """Asks one thing, and gives the answer without what the model thought before it."""

    def __call__(self, content: str, *, temperature: float = 0.0) -> str:
        """Ask, at a temperature; 0 for the likeliest answer.

        Raises:
            RoleLensError: the endpoint can't be reached, refuses, redirects elsewhere, or answers
                in another form.
        """


@contextmanager
def asking(endpoint: Endpoint, what: str) -> Iterator[Ask]:
    """Keep a connection to an endpoint while it is asked.

    Args:
        what: what the model is called in messages, such as `role judge`.
    """
    place = f"the {what} at {endpoint.url.rstrip('/')}/chat/completions"
    with _told(place):
        client = _client(endpoint)

    def ask(content: str, *, temperature: float = 0.0) -> str:
        with _told(place):
            return _answer(client, content, temperature, endpoint)

    with client:
        yield ask


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the client's, HTTP's, JSON's: they have no common base
        raise RoleLensError(f"{place} gave no answer: {_reason(error)}") from error


def _client(endpoint: Endpoint) -> Any:
    import openai  # here, because it takes a second and few need it

    return openai.OpenAI(
        base_url=endpoint.url.rstrip("/"),
        api_key=endpoint.key or "none",  # must be given; `_answer` decides what is sent
        timeout=endpoint.timeout,
        max_retries=endpoint.retries,
        http_client=openai.DefaultHttpxClient(
            follow_redirects=False,  # what is asked would be sent elsewhere
            event_hooks={"request": [_drop_other_headers]},
        ),
    )


def _answer(client: Any, content: str, temperature: float, endpoint: Endpoint) -> str:
    from openai import Omit

    # Raw, because the client checks no answer's form, and takes JSON for text where the server
    # does not call it JSON.
    reply = client.chat.completions.with_raw_response.create(
        model=endpoint.model,
        messages=[{"role": "user", "content": content}],
        temperature=temperature,
        max_tokens=_MAX_TOKENS,
        extra_headers={"Authorization": f"Bearer {endpoint.key}" if endpoint.key else Omit()},
    )
    answer = json.loads(reply.content)["choices"][0]["message"]["content"]
    if not isinstance(answer, str) or ("<think>" in answer and "</think>" not in answer):
        raise TypeError(f"no answer within {_MAX_TOKENS} tokens, but {str(answer)[:60]!r}")
    return answer.rpartition("</think>")[2]  # not every server takes the thoughts off


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
