"""Text from a patched model, the same with and without a key-value cache.

Knows prompts and patches, not roles.
"""

from collections.abc import Iterable, Sequence

import einops
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import trange

from role_lens.errors import RoleLensError
from role_lens.forward import next_logits
from role_lens.interventions import TokenWindow
from role_lens.models import Model, stop_token_ids
from role_lens.patches import Patches, attached
from role_lens.tokens import check_length, encode_chat, pad_left


def generate(
    model: Model,
    prompts: str | Sequence[str],
    *,
    patch: Patches = None,
    max_new_tokens: int = 64,
    system: str | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    use_cache: bool = True,
    progress: bool = False,
) -> str | list[str]:
    """Answer prompts, each formatted as one user turn, in one left-padded batch.

    Args:
        prompts: one prompt (gives one string) or several (gives a list).
        patch: a patch or several, acting on the tokens that their token masks name.
        temperature: 0 for greedy decoding, else samples from softmax(logits / temperature).
        seed: of the sampling.
        use_cache: keep keys and values; greedy text is the same without, only slower.
        progress: show a progress bar.

    Raises:
        RoleLensError: an empty prompt, a text longer than the context, a patch that doesn't fit.
    """
    many = [prompts] if isinstance(prompts, str) else list(prompts)
    if max_new_tokens < 1:
        raise RoleLensError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if not (temperature == 0 or 1e-3 <= temperature < float("inf")):
        raise RoleLensError(
            f"temperature must be 0 or finite and at least 0.001, got {temperature}"
        )
    sequences = encode_chat(model, many, system)
    longest = max(sequences, key=len)
    check_length(model, len(longest), many[sequences.index(longest)], following=max_new_tokens - 1)
    steps = trange(max_new_tokens, desc="tokens", disable=not progress, leave=False)
    answers = _continue(model, sequences, patch, steps, temperature, seed, use_cache)
    texts = [model.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in answers]
    return texts[0] if isinstance(prompts, str) else texts


@torch.inference_mode()
def _continue(
    model: Model,
    sequences: Sequence[Sequence[int]],
    patch: Patches,
    steps: Iterable[int],
    temperature: float,
    seed: int,
    use_cache: bool,
) -> list[list[int]]:
    """Token ids generated after each sequence, without the stop token."""
    batch = pad_left(model, sequences, range(len(sequences)))
    tokens, mask = batch.tokens, batch.mask
    # Left padding ends every row's prompt in the same column.
    prompt_end = torch.full((len(sequences),), tokens.shape[1], device=tokens.device)
    generator = torch.Generator(device="cpu").manual_seed(seed)
    stops = torch.tensor(sorted(stop_token_ids(model)), dtype=torch.long)
    answers: list[list[int]] = [[] for _ in sequences]
    running = torch.ones(len(sequences), dtype=torch.bool)
    window = TokenWindow(prompt_end)
    cache = None
    with attached(model, patch, window):
        for _ in steps:
            logits, cache = next_logits(
                model, tokens[:, window.offset :], mask, cache if use_cache else None
            )
            window.offset = tokens.shape[1] if use_cache else 0
            chosen = _choose(logits.float().cpu(), temperature, generator)
            running &= ~torch.isin(chosen, stops)
            for row in running.nonzero().flatten().tolist():
                answers[row].append(int(chosen[row]))
            if not bool(running.any()):
                break
            newest = einops.rearrange(chosen, "batch -> batch 1").to(tokens.device)
            tokens = torch.cat([tokens, newest], dim=1)
            mask = torch.cat([mask, torch.ones_like(newest)], dim=1)
    return answers


def _choose(
    logits: Float[Tensor, "batch d_vocab"], temperature: float, generator: torch.Generator
) -> Int[Tensor, " batch"]:
    if temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = (logits / temperature).softmax(dim=-1)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]
