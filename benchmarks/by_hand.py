"""What the package should give, computed with transformers alone: one text after the other, without
a cache, and with torch's own hooks.

    hand = ByHand(model, "model.layers")
    hand.logits(ids, hand.adding(direction, layer=1))

Nothing here comes from the package or from TransformerLens.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

Change = Callable[[Tensor], Tensor]
Changes = Mapping[Module, Change]
"""For some modules, what becomes of the residual stream that they are given."""
ALL = slice(None)


class ByHand:
    """A transformers model, with the name of its list of blocks."""

    def __init__(self, model: Any, blocks: str) -> None:
        self.model, self._name = model, blocks

    @cached_property
    def blocks(self) -> list[Module]:
        """The blocks, in their order."""
        return list(self.model.get_submodule(self._name))

    @torch.no_grad()
    def logits(self, ids: Sequence[int], changes: Changes | None = None) -> Tensor:
        """Logits after each token: pos x d_vocab."""
        with ExitStack() as stack:
            for module, change in (changes or {}).items():
                stack.enter_context(given_to(module, change))
            return self.model(torch.tensor([list(ids)]), use_cache=False).logits[0]

    def streams(self, ids: Sequence[int]) -> Tensor:
        """The residual stream entering each block: layer x pos x d_model."""
        entering = self._entering(self.blocks, ids)
        return torch.stack([entering[block] for block in self.blocks])

    def adding(self, direction: Tensor, layer: int, columns: slice = ALL) -> Changes:
        """An addition to what enters a block, at some tokens or all of them."""

        def add(x: Tensor) -> Tensor:
            x = x.clone()
            x[:, columns] += direction
            return x

        return {self.blocks[layer]: add}

    def ablated(self, ids: Sequence[int], direction: Tensor) -> Tensor:
        """Logits where nothing that reads the residual stream sees its component along a
        direction, in the blocks or after them."""
        unit = direction / direction.norm()

        def ablate(x: Tensor) -> Tensor:
            return x - (x @ unit)[..., None] * unit

        inside = [block.get_submodule(name) for block, name in self.readers]
        with left_by(self.blocks[-1], ablate):
            return self.logits(ids, dict.fromkeys([*self.blocks, *inside], ablate))

    @cached_property
    def readers(self) -> list[tuple[Module, str]]:
        """The modules inside the blocks that read the residual stream: block, and name in it.

        Such a module is found by shifting what enters the block while attention and MLP write
        nothing: what it is given shifts by the same.
        """
        ids = range(5, 21)
        silent = ByHand(copy.deepcopy(self.model), self._name)
        for block in silent.blocks:
            for parameter in block.parameters():
                if parameter.ndim > 1:
                    parameter.data.zero_()
        found = []
        for block, own in zip(silent.blocks, self.blocks, strict=True):
            inside = {name: module for name, module in block.named_modules() if name}
            before = silent._entering([block, *inside.values()], ids)
            shift = torch.linspace(-1, 1, before[block].shape[-1])
            after = silent._entering([*inside.values()], ids, {block: lambda x, v=shift: x + v})
            for name, module in inside.items():
                if module in after and before[module].shape == before[block].shape:
                    moved = after[module] - before[module]
                    along = moved @ shift / (moved.norm(dim=-1) * shift.norm())
                    if bool((along > 0.999).all()):
                        found.append((own, name))
        return found

    def text(
        self, ids: Sequence[int], n: int, stops: set[int], changes: Changes | None = None
    ) -> list[int]:
        """The likeliest next tokens, up to n of them or to one that ends a text."""
        written: list[int] = []
        while len(written) < n:
            token = int(self.logits([*ids, *written], changes)[-1].argmax())
            if token in stops:
                break
            written.append(token)
        return written

    def logprob(
        self, ids: Sequence[int], option: Sequence[int], changes: Changes | None = None
    ) -> float:
        """Log-probability of an option's tokens after a prompt, in nats."""
        logprobs = self.logits([*ids, *option][:-1], changes).log_softmax(-1)[-len(option) :]
        return float(logprobs[range(len(option)), list(option)].sum())

    @torch.no_grad()
    def padded(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Logits after each prompt, as transformers gives them where shorter ones are padded on the
        left: prompt x d_vocab."""
        width = max(map(len, prompts))
        tokens = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in prompts])
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts])
        positions = {}
        if "position_ids" in inspect.signature(self.model.forward).parameters:
            positions["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        return self.model(tokens, attention_mask=mask, use_cache=False, **positions).logits[:, -1]

    @torch.no_grad()
    def cached(self, ids: Sequence[int]) -> Tensor | None:
        """Logits after the last token, as transformers gives them with its own cache of the others;
        None where it hands back none."""
        tokens = torch.tensor([list(ids)])
        cache = getattr(self.model(tokens[:, :-1], use_cache=True), "past_key_values", None)
        if cache is None:
            return None
        return self.model(tokens[:, -1:], past_key_values=cache, use_cache=True).logits[0, -1]

    def _entering(
        self, modules: Sequence[Module], ids: Sequence[int], changes: Changes | None = None
    ) -> dict[Module, Tensor]:
        """What each of some modules is given; those that are not run are left out."""
        seen: dict[Module, Tensor] = {}
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(given_to(module, partial(_keep, seen, module)))
            self.logits(ids, changes)
        return seen


@contextmanager
def given_to(module: Module, change: Change) -> Iterator[None]:
    """Let a module be given something else, for the time of a `with` block."""

    def before(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args and isinstance(args[0], Tensor):
            args = (change(args[0]), *args[1:])
        elif isinstance(kwargs.get("hidden_states"), Tensor):
            kwargs = kwargs | {"hidden_states": change(kwargs["hidden_states"])}
        return args, kwargs

    with module.register_forward_pre_hook(before, with_kwargs=True):
        yield


@contextmanager
def left_by(module: Module, change: Change) -> Iterator[None]:
    """Let a module give something else, for the time of a `with` block."""

    def after(module: Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return change(output)
        return type(output)([change(output[0]), *output[1:]])

    with module.register_forward_hook(after):
        yield


def _keep(seen: dict[Module, Tensor], module: Module, x: Tensor) -> Tensor:
    seen.setdefault(module, x.reshape(-1, x.shape[-1]).clone())  # some are given rows of tokens
    return x
