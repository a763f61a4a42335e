"""Which role a text is about, as a model behind an OpenAI-compatible endpoint says.

Knows texts and role names; sends them to the address that it is given, and nowhere else.
"""

import json
import re
import urllib.request
from collections.abc import Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import pandas as pd

from role_lens.errors import RoleLensError
from role_lens.experiments.store import content_hash, kept_table

_MAX_TOKENS = 512  # some judges think before they answer
_ASKED_AT_ONCE = 50  # texts whose answers are kept together: no more are lost if one fails
_ASK = (
    "Text:\n\n{text}\n\nWhich one of these is the text most clearly about: {roles}? "
    "Answer with that word or words alone, or with: none."
)


def ask_endpoint(
    texts: Sequence[str],
    roles: Sequence[str],
    *,
    url: str,
    model: str,
    key: str | None = None,
    timeout: float = 60.0,
) -> list[str | None]:
    """The role that each text is about, one request for each text that differs; None where the
    judge names none of them, or several.

    Args:
        url: of the API, such as `http://localhost:8000/v1`; `/chat/completions` is asked.
        model: the judge's name there.
        key: sent as bearer token.
        timeout: of each request, in seconds.

    Raises:
        RoleLensError: the endpoint can't be reached, refuses, or answers in another form.
    """
    check_address(url)
    address = url.rstrip("/") + "/chat/completions"
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    judged = {}
    for text in dict.fromkeys(texts):
        content = _ASK.format(text=text, roles=", ".join(roles))
        body = {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": _MAX_TOKENS,
        }
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                answer = json.load(reply)["choices"][0]["message"]["content"]
            if not isinstance(answer, str) or ("<think>" in answer and "</think>" not in answer):
                raise TypeError(f"no answer within {_MAX_TOKENS} tokens, but {str(answer)[:60]!r}")
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, HTTPError):
                reason += f" {error.read(500).decode('utf-8', 'replace')}"
            raise RoleLensError(f"the judge at {address} gave no answer: {reason}") from error
        judged[text] = _named(answer, roles)
    return [judged[text] for text in texts]


def ask_and_keep(
    texts: Sequence[str],
    roles: Sequence[str],
    folder: Path,
    *,
    url: str,
    model: str,
    key: str | None = None,
) -> list[str | None]:
    """As `ask_endpoint`, with the answers kept in a folder: asked again, only what is missing is.

    Args:
        folder: an existing one; the rest as in `ask_endpoint`.

    Raises:
        RoleLensError: as from `ask_endpoint`.
    """

    def answers(some: Sequence[str]) -> pd.DataFrame:
        return pd.DataFrame({"judge": ask_endpoint(some, roles, url=url, model=model, key=key)})

    said: list[str | None] = []
    for start in range(0, len(texts), _ASKED_AT_ONCE):
        some = list(texts[start : start + _ASKED_AT_ONCE])
        name = content_hash(some, list(roles), url, model)[:16]
        table = kept_table(folder / f"judge-{name}.parquet", partial(answers, some))
        said += [None if pd.isna(one) else one for one in table["judge"]]
    return said


def check_address(url: str) -> None:
    """Raise a RoleLensError unless it is an address of the kind that `ask_endpoint` takes."""
    if not url.startswith(("http://", "https://")):
        raise RoleLensError(f"the judge's address must begin with http:// or https://, got {url!r}")


def _named(answer: str, roles: Sequence[str]) -> str | None:
    answer = answer.rpartition("</think>")[2]  # not every server takes the thoughts off
    said = re.sub(r"^(an?|the) ", "", answer.strip().strip(".\"'*`").casefold())
    return next((role for role in roles if role.casefold() == said), None)
