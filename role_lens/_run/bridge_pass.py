"""Runs some blocks of a TransformerBridge inside the model's own forward pass.

    logits, pairs = bridge_pass(model, part)

The blocks before the first one that is wanted only hand the residual stream on, and the pass is
left after the last one. All else (positions, masks, the final norm and softcap, the unembedding) is
the model's own code.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from role_lens._run.exclusive import hooked
from role_lens._run.joined_cache import JoinedCache, KeysKnown
from role_lens._run.partial_pass import Pairs, Part
from role_lens.errors import RoleLensError
from role_lens.models import Model, model_name


def bridge_pass(model: Model, part: Part) -> tuple[Tensor, Pairs]:
    """Logits or the residual stream, and the keys and values if they are to be kept."""
    n_layers = model.cfg.n_layers
    wanted = part.keep or part.past is not None or part.only is not None
    cache = JoinedCache(part.past, part.keep) if wanted else None
    options: dict[str, Any] = {"use_cache": False} if cache is None else {"past_key_values": cache}

    def leave(x: Tensor, hook: Any) -> None:
        raise _Left(x)

    # The bridge's own stop is at the entry of a block, and there is none after the last.
    to_the_end = part.stop == n_layers
    hooks = [(f"blocks.{n_layers - 1}.hook_resid_post", leave)] if to_the_end else []
    forwards = _passing_over(model, part)
    if cache is not None and part.only is not None and part.tokens.shape[1] > 1:
        forwards[n_layers - 1] = _one_column(model.blocks[n_layers - 1], cache, part.only)
    first = part.resid if part.start == 0 else None  # no block before it could hand it on
    with hooked(model, hooks), _replaced(model, forwards), _entering(model, first):
        try:
            output = model(
                part.tokens,
                attention_mask=part.mask,
                stop_at_layer=None if to_the_end else part.stop,
                **options,
            )
        except _Left as left:
            output = left.resid
        else:
            if to_the_end:
                raise RoleLensError(
                    f"TransformerLens doesn't give what leaves the last block of "
                    f"{model_name(model)}, which this package needs here; take another model"
                )
    return output, cache.pairs if cache is not None else {}


class _Left(Exception):
    """Carries the residual stream out of a pass after its last block."""

    def __init__(self, resid: Tensor) -> None:
        super().__init__()
        self.resid = resid


@contextmanager
def _replaced(model: Model, forwards: Mapping[int, Callable[..., Any]]) -> Iterator[None]:
    """Let some blocks compute something else."""
    try:
        for layer, forward in forwards.items():
            # A bridge would hand a plain assignment on to the module that it wraps.
            object.__setattr__(model.blocks[layer], "forward", forward)
        yield
    finally:
        for layer in forwards:
            model.blocks[layer].__dict__.pop("forward", None)  # the class's own again


@contextmanager
def _entering(model: Model, resid: Tensor | None) -> Iterator[None]:
    """Let the residual stream enter the first block in place of the embedding."""

    def enter(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        if args:
            return (resid, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": resid}

    if resid is None:
        yield
        return
    handle = model.blocks[0].register_forward_pre_hook(enter, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _passing_over(model: Model, part: Part) -> dict[int, Callable[..., Any]]:
    """Forwards of the blocks before the first: they hand on the residual stream."""
    if part.start == 0:
        return {}
    n = _n_outputs(model, part.tokens)
    output = part.resid if n is None else (part.resid, *[None] * (n - 1))
    return dict.fromkeys(range(part.start), lambda *args, **kwargs: output)


def _one_column(block: Any, cache: JoinedCache, column: Tensor) -> Callable[..., Any]:
    """A forward of the last block: keys and values of all columns, the rest of one in each row."""

    def take(x: Any, width: int) -> Any:
        """The column's part of an argument: masks have the queries in the last axis but one,
        positions and what is made from them in the second."""
        if isinstance(x, tuple):
            return tuple(take(part, width) for part in x)
        if not isinstance(x, Tensor) or x.ndim < 2:
            return x
        axis = 2 if x.ndim == 4 else 1
        if x.shape[axis] != width:
            return x
        x, at = x.expand(len(column), *x.shape[1:]), column.to(x.device)
        rows = torch.arange(len(column), device=x.device)
        return x[rows, :, at][:, :, None] if axis == 2 else x[rows, at][:, None]

    def forward(*args: Any, **kwargs: Any) -> Any:
        run = type(block).forward
        width = (args[0] if args else kwargs["hidden_states"]).shape[1]
        cache.stop = True
        try:
            run(block, *args, **dict(kwargs))
        except KeysKnown:
            cache.stop = False
        return run(block, *take(args, width), **{k: take(v, width) for k, v in kwargs.items()})

    return forward


_outputs: WeakKeyDictionary[Any, int | None] = WeakKeyDictionary()


def _n_outputs(model: Model, tokens: Tensor) -> int | None:
    """How many things the model expects from each of its blocks, the residual stream first; None
    where it is given bare. That depends on the architecture."""
    if model not in _outputs:
        seen: list[int | None] = []
        with hooked(model, []):
            handle = model.blocks[0].register_forward_hook(
                lambda block, inputs, output: seen.append(
                    None if isinstance(output, Tensor) else len(output)
                )
            )
            try:
                model(tokens, use_cache=False, stop_at_layer=1)
            finally:
                handle.remove()
        _outputs[model] = seen[0]
    return _outputs[model]
