"""Lets one thread at a time run a model, and in a state that results may depend on.

    with exclusive(model):
        model(tokens)

Hooks and partial passes change what a model computes for a while, so that a second thread would
get their results. Threads wait for one another instead; other models run meanwhile.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

from role_lens.errors import RoleLensError
from role_lens.models import Model, check_model, model_name
from role_lens.torch_defaults import usual_defaults

Params = ParamSpec("Params")
Returned = TypeVar("Returned")


@dataclass(eq=False)
class _Turn:
    """Whose turn it is to run a model."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    depth: int = 0
    """How often the thread that has it has entered."""


_turns: WeakKeyDictionary[Any, _Turn] = WeakKeyDictionary()
_making = threading.Lock()


@contextmanager
def exclusive(model: Model) -> Iterator[None]:
    """Have a model to oneself for the time of a `with` block, which may be in another one.

    Meanwhile the model is in evaluation mode (no dropout), and torch has its usual defaults, see
    `usual_defaults`; in an inner block too, whatever was changed in the outer one. Afterwards all
    is as it was.

    Raises:
        RoleLensError: it is no model.
    """
    check_model(model)
    turn = _turn_of(model)
    with turn.lock, usual_defaults(), ExitStack() as stack:
        # To look at all modules takes a while; inside it is done only where it may be needed.
        if turn.depth == 0 or model.training or _shared(model).training:
            stack.enter_context(_evaluation_mode(model))
        turn.depth += 1
        stack.callback(_leave, turn)
        yield


@contextmanager
def hooked(model: Model, hooks: Sequence[tuple[str, Callable[..., Any]]]) -> Iterator[None]:
    """Attach hooks to a model that one has to oneself, for the time of a `with` block.

    Raises:
        RoleLensError: the model has no hook point of such a name.
    """
    with exclusive(model), ExitStack() as stack:
        try:
            stack.enter_context(model.hooks(fwd_hooks=list(hooks)))
        except KeyError as error:
            missing = next((name for name, _ in hooks if name not in model.hook_dict), error)
            raise RoleLensError(
                f"{model_name(model)} has no hook point {missing}: TransformerLens doesn't give "
                "the residual stream of its blocks, which this package needs; take another model"
            ) from error
        yield


def with_usual_defaults(function: Callable[Params, Returned]) -> Callable[Params, Returned]:
    """Let a function run under torch's usual defaults; threads don't wait for it."""

    @wraps(function)
    def under_them(*args: Params.args, **kwargs: Params.kwargs) -> Returned:
        with usual_defaults():
            return function(*args, **kwargs)

    return under_them


def has_model_to_itself(function: Callable[Params, Returned]) -> Callable[Params, Returned]:
    """Let a function have its first argument, a model, to itself."""

    @wraps(function)
    def alone(*args: Params.args, **kwargs: Params.kwargs) -> Returned:
        if not args and "model" not in kwargs:
            return function(*args, **kwargs)  # which says that it is missing
        model = args[0] if args else kwargs["model"]
        with exclusive(cast(Model, model)):
            return function(*args, **kwargs)

    return alone


def _shared(model: Model) -> Any:
    """What bridges of the same transformers model have in common: its modules."""
    return getattr(model, "original_model", model)


def _turn_of(model: Model) -> _Turn:
    with _making:
        return _turns.setdefault(_shared(model), _Turn())


def _leave(turn: _Turn) -> None:
    turn.depth -= 1


@contextmanager
def _evaluation_mode(model: Model) -> Iterator[None]:
    # A bridge's modules don't include all of those that it wraps.
    modules = (*model.modules(), *_shared(model).modules())
    training = [module for module in modules if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True
