"""Generates text with a model, patched or not.

    generate(model, "How was your day?", patch=vectors.add("nurse", layer=22))

Greedy text is the same with and without a key-value cache.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import einops
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import trange

from role_lens._run.budget import Budget, in_batches
from role_lens._run.exclusive import has_model_to_itself, hooked
from role_lens._run.forward import next_logits
from role_lens._run.tokens import Batch, check_length, encode_begun, encode_chat, stop_token_ids
from role_lens.checks import check_is, set_temperature, string, whole_number
from role_lens.conversation import Conversation, Prompt, asked_list, last_said
from role_lens.errors import RoleLensError
from role_lens.models import Model
from role_lens.patches.gate import acting
from role_lens.patches.hooks import attached
from role_lens.patches.patch import Combined, Patches, combined
from role_lens.patches.token_masks import TokenWindow
from role_lens.values import shown

Hooks = list[tuple[str, Callable[..., Any]]]
"""Hook points and functions, as TransformerLens takes them."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen when text is generated.

    Raises:
        RoleLensError: a temperature that is neither 0 nor finite and at least 0.001, or a batch
            size below 1.

    Examples:
        >>> Sampling(temperature=0.7, seed=1)
        Sampling(temperature=0.7, seed=1, use_cache=True, batch_size=None)
    """

    temperature: float = 0.0
    """0 takes the likeliest token (greedy decoding); else tokens are drawn from softmax(logits /
    temperature)."""
    seed: int = 0
    """Seed of the random numbers. Each prompt has its own, so that its text doesn't depend on what
    shares its batch."""
    use_cache: bool = True
    """Keep keys and values of earlier tokens. Greedy text is the same without, only slower."""
    batch_size: int | None = None
    """Most prompts in a batch; None for all of them. Fewer are taken where a GPU runs out of
    memory."""

    def __post_init__(self) -> None:
        set_temperature(self)
        object.__setattr__(self, "seed", whole_number(self.seed, "seed"))
        if self.batch_size is not None:
            size = whole_number(self.batch_size, "batch_size", least=1)
            object.__setattr__(self, "batch_size", size)


@dataclass(frozen=True)
class Completion:
    """One generated text."""

    text: str
    truncated: bool
    """Whether the limit of tokens ended the text, and not the model."""


def generate(
    model: Model,
    prompts: Prompt | Sequence[Prompt],
    *,
    patch: Patches = None,
    max_new_tokens: int = 64,
    system: str | None = None,
    sampling: Sampling = Sampling(),
    progress: bool = False,
) -> str | list[str]:
    """Answer prompts, each formatted as one user turn, with a patched model or without a patch.

    Args:
        prompts: one prompt or several; a `Conversation` stands for its last message, which is
            answered after all that was said before. To token masks that is prompt too.
        patch: a patch, or several that act together in the order given; None for the unpatched
            model. A patch changes the tokens that its token mask names.
        max_new_tokens: longest answer, in tokens.
        system: system message; None for the chat template's own default. A conversation that has
            its own keeps it.
        sampling: temperature, seed, cache and batch size.
        progress: show a progress bar.

    Returns:
        The answer to a single prompt as a string; the answers to several as a list.

    Raises:
        RoleLensError: an empty prompt, a prompt that is longer than the model's context together
            with its answer, or a patch that doesn't fit the model.

    Examples:
        >>> patch = vectors.add("poet", layer=1, coefficient=2.0)
        >>> texts = generate(model, ["Tea?", "Lunch!"], patch=patch, max_new_tokens=4)
        >>> len(texts), type(texts[0])
        (2, <class 'str'>)
    """
    completions = complete(
        model,
        [prompts] if isinstance(prompts, str | Conversation) else prompts,
        patch=patch,
        max_new_tokens=max_new_tokens,
        system=system,
        sampling=sampling,
        progress=progress,
    )
    texts = [completion.text for completion in completions]
    return texts[0] if isinstance(prompts, str | Conversation) else texts


@has_model_to_itself
def complete(
    model: Model,
    prompts: Sequence[Prompt],
    *,
    patch: Patches = None,
    max_new_tokens: int = 64,
    system: str | None = None,
    sampling: Sampling = Sampling(),
    begun: Sequence[str] | None = None,
    hooks_of: Callable[[Sequence[int]], Hooks] | None = None,
    progress: bool = False,
) -> list[Completion]:
    """Answer prompts as `generate` does, and say whether each answer came to its end.

    Args:
        begun: how the answer to each prompt begins; the model goes on from there. Empty where it
            begins itself. It is part of the text that is given back, and to token masks of the
            prompt.
        hooks_of: given the indices of the prompts of a batch, gives hooks for that batch alone.
            Called anew for every batch, and for one that is repeated with fewer prompts.
    """
    check_is(sampling, Sampling, "sampling")
    patches = combined(patch)
    for one in patches:
        one.check(model)
    max_new_tokens = whole_number(max_new_tokens, "max_new_tokens", least=1)
    prompts = asked_list(prompts)
    asked = encode_chat(model, prompts, system)  # which is what gates look at
    if begun is None:
        begins: list[list[int]] = [[] for _ in prompts]
        heads = asked
    else:
        started = [string(one, "begun") for one in begun]
        if isinstance(begun, str) or len(started) != len(prompts):
            raise RoleLensError(
                f"expected {len(prompts)} beginnings of answers, got {shown(begun)}"
            )
        heads, begins = encode_begun(model, prompts, started, system)
    sequences = [head + begin for head, begin in zip(heads, begins, strict=True)]
    longest = max(sequences, key=len)
    check_length(
        model,
        len(longest),
        last_said(prompts[sequences.index(longest)]),
        following=max_new_tokens - 1,
    )
    stops = torch.tensor(sorted(stop_token_ids(model, system)), dtype=torch.long)
    rows = sampling.batch_size or len(sequences)
    budget = Budget(rows * len(longest), most_rows=rows)

    def run(some: Combined, indices: Sequence[int], batch: Batch) -> list[tuple[list[int], bool]]:
        steps = trange(max_new_tokens, desc="tokens", disable=not progress, leave=False)
        batch = replace(batch, index=tuple(indices[place] for place in batch.index))
        hooks = hooks_of(batch.index) if hooks_of else []
        with hooked(model, hooks):
            return _continue(model, batch, some, steps, stops, sampling)

    completions: dict[int, Completion] = {}
    for some, those in acting(model, asked, patches).items():
        run_some = partial(run, some, those)
        own = [sequences[row] for row in those]
        for batch, answers in in_batches(model, own, budget, run_some):
            for place, (ids, truncated) in zip(batch.index, answers, strict=True):
                index = those[place]
                text = model.tokenizer.decode(begins[index] + ids, skip_special_tokens=True)
                completions[index] = Completion(text.strip(), truncated)
    return [completions[index] for index in range(len(sequences))]


@torch.inference_mode()
def _continue(
    model: Model,
    batch: Batch,
    patch: Patches,
    steps: Iterable[int],
    stops: Int[Tensor, " token"],
    sampling: Sampling,
) -> list[tuple[list[int], bool]]:
    """Token ids generated after each sequence, without the stop token, and whether there was
    none."""
    tokens, mask = batch.tokens, batch.mask
    n = len(batch.index)
    # One for each row, so that a sample doesn't depend on what shares its batch.
    generators = [_generator(sampling.seed, index) for index in batch.index]
    answers: list[list[int]] = [[] for _ in range(n)]
    running = torch.ones(n, dtype=torch.bool)
    window = TokenWindow.of_prompts(mask)
    cache = None
    with attached(model, patch, window):
        for _ in steps:
            logits, cache = next_logits(
                model, tokens[:, window.offset :], mask, cache if sampling.use_cache else None
            )
            # Some architectures hand back no cache: then every pass sees all columns.
            window.offset = tokens.shape[1] if sampling.use_cache and cache is not None else 0
            chosen = _choose(logits.float().cpu(), sampling.temperature, generators)
            running &= ~torch.isin(chosen, stops)
            for row in running.nonzero().flatten().tolist():
                answers[row].append(int(chosen[row]))
            if not bool(running.any()):
                break
            newest = einops.rearrange(chosen, "batch -> batch 1").to(tokens.device)
            tokens = torch.cat([tokens, newest], dim=1)
            mask = torch.cat([mask, torch.ones_like(newest)], dim=1)
    return list(zip(answers, running.tolist(), strict=True))


def _generator(seed: int, index: int) -> torch.Generator:
    """Random numbers of its own for every seed and index."""
    (state,) = np.random.SeedSequence([seed % 2**64, index]).generate_state(1, np.uint64)
    return torch.Generator(device="cpu").manual_seed(int(state) >> 1)


def _choose(
    logits: Float[Tensor, "batch d_vocab"],
    temperature: float,
    generators: Sequence[torch.Generator],
) -> Int[Tensor, " batch"]:
    if temperature == 0:
        return logits.argmax(dim=-1)
    rows = zip((logits / temperature).softmax(dim=-1), generators, strict=True)
    return torch.cat([torch.multinomial(row, 1, generator=one) for row, one in rows])
