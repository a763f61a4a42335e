"""Attaches patches to a model as TransformerLens hooks, for the time of a `with` block.

    with attached(model, [patch, other], window):
        model(tokens)

The hooks are gone afterwards, also after an error.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from role_lens._run.exclusive import hooked
from role_lens.errors import RoleLensError
from role_lens.models import Model
from role_lens.patches.patch import Combined, Patch, Patches, apply_together, combined, form
from role_lens.patches.token_masks import TokenMask, TokenWindow, changes_first_answer


def attached(
    model: Model, patches: Patches, window: TokenWindow | None = None
) -> AbstractContextManager[Model]:
    """Attach patches to a model for the time of a `with` block.

    Args:
        patches: a patch, or several that act together in the order given; None attaches nothing.
        window: says which columns are prompt, for token masks; None counts all columns of a forward
            pass as prompt, and refuses passes that continue a key-value cache if a mask counts
            tokens.

    Raises:
        RoleLensError: a patch that doesn't fit the model, or without a window a mask that has only
            tokens after the prompt.

    Examples:
        >>> from role_lens.patches import attached
        >>> tokens = torch.tensor(encode_chat(model, ["Tea?"]))
        >>> with attached(model, [vectors.add("poet", layer=1), vectors.ablate("cook", layer=2)]):
        ...     patched = model(tokens)
        >>> torch.equal(patched, model(tokens))
        False
    """
    candidate = combined(patches)
    for patch in candidate:
        patch.check(model)
        if patch.gate is not None:
            raise RoleLensError(
                "a patch behind a gate acts at some prompts only, which hooks can't decide: hand "
                "it to generate or evaluate, or take patch.behind(None), which always acts"
            )
        if window is None and not changes_first_answer(patch.tokens):
            raise RoleLensError(
                f"tokens={patch.tokens!r} has no token of a prompt, and here every token counts as "
                "prompt, so that the patch would change nothing: take generate, or another mask"
            )
    return _attached(model, candidate, window)


@contextmanager
def _attached(model: Model, candidate: Combined, window: TokenWindow | None) -> Iterator[Model]:
    with ExitStack() as stack:
        counted = [patch.tokens for patch in candidate if patch.tokens not in ("all", "prompt")]
        if window is None and counted:
            stack.enter_context(_without_cache(model, counted[0]))
        stack.enter_context(attached_together(model, [candidate], window))
        yield model


@contextmanager
def attached_together(
    model: Model, candidates: Sequence[Combined], window: TokenWindow | None = None
) -> Iterator[None]:
    """Attach one or more candidates of the same `form`, each to its own part of the batch.

    The rows of a batch are those of the first candidate, then those of the second, and so on. That
    the patches fit the model is not checked.
    """
    if len({form(candidate) for candidate in candidates}) > 1:
        raise RoleLensError("candidates that share a batch must have the same form")
    hooks = []
    for patches in zip(*candidates, strict=True):
        hooks += [
            (name, _hook_function(patches, window, place))
            for place, name in enumerate(patches[0].hook_names(model))
        ]
    with hooked(model, hooks):
        yield


def _without_cache(model: Model, tokens: TokenMask) -> RemovableHandle:
    """Refuse passes that see only a text's newest tokens, of which such a mask would name others
    than of the whole text."""

    def check(module: Any, args: Any, options: dict[str, Any]) -> None:
        cache = options.get("past_key_values")
        held = cache.get_seq_length() if cache is not None else 0
        if cache is None and (legacy := options.get("past_kv_cache")) is not None:
            held = legacy[0].past_keys.shape[1]
        if held:
            raise RoleLensError(
                f"tokens={tokens!r} can't be told in a pass that continues a key-value cache: hand "
                "the patch to generate or evaluate, in the place of `with patch.on(model)`"
            )

    whole = getattr(model, "original_model", model)
    return whole.register_forward_pre_hook(check, with_kwargs=True)


def _hook_function(
    patches: Sequence[Patch], window: TokenWindow | None, place: int
) -> Callable[[Tensor, Any], Tensor]:
    tokens = patches[0].tokens

    def change(x: Tensor, hook: Any) -> Tensor:
        if x.ndim != 3:
            raise RoleLensError(
                f"TransformerLens gives a tensor of shape {tuple(x.shape)} at {hook.name}, where "
                "batch, position and d_model were expected: this model can't be patched there"
            )
        if tokens == "all":
            return apply_together(patches, x, None, place)
        if window is None:
            end = torch.full((x.shape[0],), x.shape[1], device=x.device)
            selected = TokenWindow(end).select(tokens, x.shape[1])
        else:
            selected = window.select(tokens, x.shape[1])
        return apply_together(patches, x, selected, place)

    return change
