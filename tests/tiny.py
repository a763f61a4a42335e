"""Tiny models at random initialisation, with a byte-level tokenizer, built without a network."""

import copy
import json
import tempfile
from pathlib import Path

import torch
import transformers
from tiny_families import with_random_weights
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from role_lens import Asking, Compute
from role_lens.scoring import Asker

try:
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    HAS_HOOKED_TRANSFORMER = True
except ImportError:
    HAS_HOOKED_TRANSFORMER = False

_FOLDER = tempfile.TemporaryDirectory()

CHAT_TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
CONTEXT = 256
ROLES = {"poet": ["Rhyme?", "Ode!", "Scan this."], "cook": ["Salt?", "Stew!", "Boil this now."]}
BASE = ["Tea?", "Lunch!", "So it goes."]
SIZE = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
ROTARY = {
    **SIZE,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": False,
}


def _config(architecture: str):
    if architecture == "llama":
        return transformers.LlamaConfig(**ROTARY)
    if architecture == "qwen2":
        return transformers.Qwen2Config(**{k: v for k, v in ROTARY.items() if k != "head_dim"})
    if architecture == "gemma3":
        return transformers.Gemma3TextConfig(
            **ROTARY, sliding_window=32, layer_types=["sliding_attention"] * 2 + ["full_attention"]
        )
    if architecture == "gemma2":
        return transformers.Gemma2Config(**ROTARY, sliding_window=32)
    if architecture in ("olmo2", "olmo3"):
        # They have no width of their own for heads.
        config = {"olmo2": transformers.Olmo2Config, "olmo3": transformers.Olmo3Config}
        return config[architecture](**{k: v for k, v in ROTARY.items() if k != "head_dim"})
    if architecture == "gpt2":
        return transformers.GPT2Config(
            vocab_size=300,
            n_embd=32,
            n_layer=3,
            n_head=4,
            n_positions=CONTEXT,
            bos_token_id=0,
            eos_token_id=1,
        )
    if architecture == "pythia":
        return transformers.GPTNeoXConfig(
            **SIZE,
            intermediate_size=48,
            max_position_embeddings=CONTEXT,
            rotary_pct=0.5,
            bos_token_id=0,
            eos_token_id=1,
        )
    if architecture == "opt":
        return transformers.OPTConfig(
            **SIZE, ffn_dim=48, word_embed_proj_dim=32, max_position_embeddings=CONTEXT
        )
    if architecture == "gpt_neo":
        return transformers.GPTNeoConfig(
            vocab_size=300,
            hidden_size=32,
            intermediate_size=48,
            num_layers=4,
            num_heads=4,
            attention_types=[[["global", "local"], 2]],
            window_size=16,
            max_position_embeddings=CONTEXT,
            bos_token_id=0,
            eos_token_id=1,
        )
    if architecture == "bloom":
        return transformers.BloomConfig(vocab_size=300, hidden_size=32, n_layer=3, n_head=4)
    return transformers.MixtralConfig(
        **{**ROTARY, "num_local_experts": 2, "sliding_window": 16, "output_router_logits": False}
    )


QUIET = Compute(progress=False)
ARCHITECTURES = ("llama", "qwen2", "gemma3", "gpt2", "pythia")
OTHERS = ("opt", "gpt_neo", "bloom", "mixtral")  # windows, biases, hooks of TransformerLens's own
CHAT = ("llama", "qwen2", "gemma3")  # the others stand for base models, without a template


def tiny_tokenizer(*, template: str | None, merged: tuple[str, ...] = (), adds_bos: bool = False):
    """One token a byte, four special tokens, and the `merged` strings as tokens of their own."""
    special = ["<|start|>", "<|end|>", "<|pad|>", "<|bos|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(special + letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(list(merged))
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", special_tokens=[("<|bos|>", 3)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|start|>"],
    )
    fast.chat_template = template
    # TransformerLens reads a tokenizer again from where it came from.
    folder = tempfile.mkdtemp(dir=_FOLDER.name)
    fast.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def tiny_hf(architecture: str, seed: int = 0, **changes):
    torch.manual_seed(seed)
    config = _config(architecture)
    for name, value in changes.items():
        setattr(config, name, value)
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.config.architectures = [type(model).__name__]
    return with_random_weights(model)


def _tokenizer_for(architecture: str):
    return tiny_tokenizer(template=CHAT_TEMPLATE if architecture in CHAT else None)


def tiny_bridge(architecture: str, seed: int = 0, tokenizer=None, **changes):
    return TransformerBridge.boot_transformers(
        f"tiny-{architecture}",
        hf_model=tiny_hf(architecture, seed, **changes),
        tokenizer=tokenizer or _tokenizer_for(architecture),
        device="cpu",
    )


def tiny_hooked(architecture: str, seed: int = 0):
    """A HookedTransformer with the same weights as `tiny_bridge(architecture, seed)`."""
    from transformer_lens.pretrained.weight_conversions import (
        convert_gpt2_weights,
        convert_llama_weights,
    )

    hf = tiny_hf(architecture, seed)
    common = {
        "n_layers": 3,
        "d_model": 32,
        "n_ctx": CONTEXT,
        "d_head": 8,
        "n_heads": 4,
        "d_vocab": 300,
        "model_name": f"tiny-{architecture}",
        "device": "cpu",
    }
    if architecture == "llama":
        cfg = HookedTransformerConfig(
            **common,
            d_mlp=48,
            act_fn="silu",
            n_key_value_heads=2,
            normalization_type="RMS",
            positional_embedding_type="rotary",
            rotary_dim=8,
            rotary_adjacent_pairs=False,
            gated_mlp=True,
            final_rms=True,
            eps=hf.config.rms_norm_eps,
            rotary_base=int(hf.config.rope_parameters["rope_theta"]),
        )
        weights = convert_llama_weights(hf, cfg)
    else:
        cfg = HookedTransformerConfig(
            **common, d_mlp=128, act_fn="gelu_new", normalization_type="LN", eps=1e-5
        )
        weights = convert_gpt2_weights(hf, cfg)
    model = HookedTransformer(cfg, tokenizer=_tokenizer_for(architecture))
    model.load_state_dict(weights, strict=False)
    return model.eval()


def items_of(model, questions, scoring="letter", examples=()):
    """Questions as tokens."""
    return Asker(model, Asking(scoring, examples=tuple(examples))).ask(questions).items


def unchecked(record, **fields):
    """A record with values that the tests' type checker would refuse before the package does."""
    other = copy.copy(record)
    for name, value in fields.items():
        object.__setattr__(other, name, value)
    other.__post_init__()
    return other


def make_workplace(folder: Path, roles=ROLES, base=BASE) -> None:
    """Put a tiny model, files of prompts and two domains of 40 questions into a folder."""
    tiny_hf("llama").save_pretrained(folder / "model")
    tiny_tokenizer(template=CHAT_TEMPLATE).save_pretrained(folder / "model")
    (folder / "roles").mkdir()
    for role, prompts in roles.items():
        (folder / "roles" / f"{role.replace(' ', '_')}.txt").write_text("\n".join(prompts))
    (folder / "base.txt").write_text("\n".join(base))
    rows = []
    for i, domain in enumerate(["verse", "food"] * 40, start=1):
        answer = i // 2 % 2
        choices = [str(i), str(2 * i)] if answer else [str(2 * i), str(i)]
        question = {"question": f"{i}+{i}?", "choices": choices, "answer": answer}
        rows.append({**question, "domain": domain})
    (folder / "many.jsonl").write_text("\n".join(map(json.dumps, rows)))
