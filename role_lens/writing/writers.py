"""Has a loaded model or one behind an endpoint write, and judge what was written.

    writer = writer_of(model, plain)            # or of an Endpoint
    writer.in_role(["Why do bees swarm?"], "beekeeper", among, within=0.5)

`role_lens.writing.role_prompts` asks it for prompts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from role_lens.compute import Compute
from role_lens.endpoint import Ask, Endpoint, asking
from role_lens.errors import RoleLensError
from role_lens.generation import Sampling, complete
from role_lens.judges.endpoint import named_role
from role_lens.judges.likelihood import ranks, role_likelihoods
from role_lens.models import Model, check_model
from role_lens.scoring.identity import model_identity

Answer = TypeVar("Answer")

_IN_A_ROW = 3  # failures at the beginning, after which it is the endpoint that is at fault


@runtime_checkable
class Writer(Protocol):
    """What writes prompts and judges them."""

    def identity(self) -> dict[str, Any]:
        """What tells it from other writers, as JSON values."""

    def write(
        self,
        requests: Sequence[str],
        *,
        sampling: Sampling,
        max_new_tokens: int,
        begun: Sequence[str] | None = None,
    ) -> list[str | None]:
        """Answer requests; None where there is no answer.

        Args:
            sampling: temperature and seed.
            max_new_tokens: longest answer of a loaded model, in tokens.
            begun: how each answer begins, as its request says too. A loaded model is made to begin
                so; an endpoint is only asked to.

        Raises:
            RoleLensError: there is no answer to the first three of them.
        """

    def in_role(
        self, texts: Sequence[str], role: str, among: Sequence[str], within: float
    ) -> list[bool | None]:
        """Whether each text may be about a role, rather than about another one of some; None where
        there is no answer.

        Raises:
            RoleLensError: there is no answer about the first three of them.
        """


@dataclass(frozen=True, eq=False)
class ModelWriter:
    """A loaded model, which judges by the likelihood of the names."""

    model: Model
    plain: Sequence[str]
    """Texts of no role, with which the likelihood of each name is compared."""
    compute: Compute = Compute()
    _usual: dict[tuple[str, ...], Any] = field(default_factory=dict, init=False)

    def identity(self) -> dict[str, Any]:
        """The model."""
        return model_identity(self.model)

    def write(
        self,
        requests: Sequence[str],
        *,
        sampling: Sampling,
        max_new_tokens: int,
        begun: Sequence[str] | None = None,
    ) -> list[str | None]:
        """Answer requests, each as one user turn. An answer whose first line was cut off is
        empty."""
        found = complete(
            self.model,
            list(requests),
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            begun=begun,
        )
        return ["" if one.truncated and "\n" not in one.text else one.text for one in found]

    def in_role(
        self, texts: Sequence[str], role: str, among: Sequence[str], within: float
    ) -> list[bool | None]:
        """Whether the role comes among the first of all names, as a share of them."""
        names = tuple(among)
        if names not in self._usual:
            found = role_likelihoods(self.model, self.plain, names, compute=self.compute)
            self._usual[names] = found.mean(axis=0)
        likelihoods = role_likelihoods(self.model, texts, names, compute=self.compute)
        own = ranks(likelihoods, self._usual[names])[:, names.index(role)]
        return [bool(rank <= math.ceil(within * len(names))) for rank in own]


@dataclass(frozen=True)
class EndpointWriter:
    """A model behind an endpoint, which is asked which role a text is about."""

    endpoint: Endpoint

    def identity(self) -> dict[str, Any]:
        """Address and name."""
        return {"endpoint": self.endpoint.url, "model": self.endpoint.model}

    def write(
        self,
        requests: Sequence[str],
        *,
        sampling: Sampling,
        max_new_tokens: int,
        begun: Sequence[str] | None = None,
    ) -> list[str | None]:
        """Answer requests, one after the other; the endpoint has no seed."""
        return _answers(
            self.endpoint,
            "writer",
            requests,
            lambda ask, one: ask(one, temperature=sampling.temperature),
        )

    def in_role(
        self, texts: Sequence[str], role: str, among: Sequence[str], within: float
    ) -> list[bool | None]:
        """Whether the endpoint names the role, or says that it is none; None where its answer can't
        be read."""
        return _answers(
            self.endpoint,
            "role judge",
            texts,
            lambda ask, one: named_role(ask, one, among) in (role, None),
        )


def _answers(
    endpoint: Endpoint, what: str, questions: Sequence[str], answer: Callable[[Ask, str], Answer]
) -> list[Answer | None]:
    """Answers to questions, one after the other; None where there is none."""
    found: list[Answer | None] = []
    with asking(endpoint, what) as ask:
        for question in questions:
            try:
                found.append(answer(ask, question))
            except RoleLensError:
                found.append(None)
                if found == [None] * _IN_A_ROW:
                    raise
    return found


def writer_of(writer: Model | Endpoint, plain: Sequence[str]) -> Writer:
    """What writes: an endpoint, or a loaded model.

    Args:
        plain: texts of no role.
    """
    if isinstance(writer, Endpoint):
        return EndpointWriter(writer)
    check_model(writer)
    return ModelWriter(writer, plain)
