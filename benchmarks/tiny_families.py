"""Tiny models of many decoder families, with random weights and a token for each byte.

    model = tiny_model("qwen3_next")             # of transformers
    bridged(model, "tiny-qwen3_next")            # as TransformerLens runs it

A family is named as transformers names its configuration, and after a colon a variant of it.
Nothing is downloaded.
"""

import copy
import tempfile
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, ByT5Tokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from role_lens.models import Model

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SIZES: dict[str, Any] = {
    "vocab_size": 259,  # bytes and three special tokens
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
ONE_TO_ONE = {"num_key_value_heads": None}  # no sharing of keys and values
GPT = {**ONE_TO_ONE, "n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 512}
LATENT = {
    **{"q_lora_rank": 16, "kv_lora_rank": 16, "num_key_value_heads": 4},
    **{"qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8},
}
EXPERTS = {
    **{"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    **{"num_local_experts": 4, "n_routed_experts": 4, "n_shared_experts": 1},
    "shared_expert_intermediate_size": 16,
}
DELTA = {
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 4},
    **{"linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "layer_types": ["linear_attention", "full_attention"] * 2,
}
MAMBA = {
    **{"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1},
    "mamba_d_conv": 4,
}
WINDOW = {"sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"] * 2}

FAMILIES: dict[str, dict[str, Any]] = {
    # Attention and MLP one after the other.
    "apertus": {},
    "arcee": {},
    "bitnet": {},
    "bloom": {"n_layer": 4, "n_head": 4},
    "ernie4_5": {},
    "falcon:sequential": {"head_dim": None, "parallel_attn": False, "alibi": True},
    "gemma": {},
    "glm": {},
    "gpt2": GPT,
    "gpt_bigcode": GPT,
    "gpt_neo": {
        **{"num_layers": 4, "num_heads": 4, "window_size": 24},
        "attention_types": [[["global", "local"], 2]],
    },
    "gpt_neox:sequential": {**ONE_TO_ONE, "use_parallel_residual": False},
    "gpt_oss": {**EXPERTS, **WINDOW},
    "hunyuan_v1_dense": {},
    "jais2": {},
    "llama": {},
    "ministral3": {},
    "mistral": {"sliding_window": 24},
    "modernbert-decoder": {**WINDOW, "local_attention": 24},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 4, "max_seq_len": 512},
    "nanochat": {},
    "nemotron": {},
    "olmo": {},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "phi3": {},
    "qwen2": {},
    "qwen3": {},
    "seed_oss": {},
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
    "vaultgemma": {"sliding_window": 24, "query_pre_attn_scalar": 8},
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 4, "attention_heads": 4},
    "youtu": LATENT,
    # Norms after attention and MLP, on what they write.
    "exaone4": WINDOW,
    "gemma2": {"sliding_window": 24, "query_pre_attn_scalar": 8},
    "gemma3_text": {**WINDOW, "query_pre_attn_scalar": 8},
    "gemma4_text": {
        **WINDOW,
        **{"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 259},
        "global_head_dim": 8,
    },
    "glm4": {},
    "olmo2": {},
    "olmo3": WINDOW,
    "openai-gpt": GPT,
    "opt:post-norm": {"ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    # Attention and MLP side by side.
    "codegen": {**GPT, "rotary_dim": 4},
    "cohere": {},
    "cohere2": WINDOW,
    "falcon": {"head_dim": None},  # found from the others
    "falcon:new": {"head_dim": None, "new_decoder_architecture": True, "num_kv_heads": 2},
    "gpt_neox": {**ONE_TO_ONE, "rotary_pct": 0.5},
    "gptj": {**GPT, "rotary_dim": 4},
    "phi": {},
    "stablelm:parallel": {"use_parallel_residual": True},
    # Multipliers of what is written.
    "granite": {"residual_multiplier": 0.5, "embedding_multiplier": 2.0, "logits_scaling": 2.0},
    "granitemoe": {**EXPERTS, "residual_multiplier": 0.5},
    # Mixtures of experts.
    "afmoe": {**EXPERTS, **WINDOW, "num_shared_experts": 1},
    "deepseek_v2": {**EXPERTS, **LATENT, "first_k_dense_replace": 1},
    "deepseek_v3": {**EXPERTS, **LATENT, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
    "deepseek_v4": {**EXPERTS, "q_lora_rank": 16, "o_lora_rank": 8, "o_groups": 2},
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16},
    "flex_olmo": EXPERTS,
    "glm4_moe": EXPERTS,
    "glm4_moe_lite": {**EXPERTS, **LATENT},
    "glm_moe_dsa": {**EXPERTS, **LATENT},
    "jetmoe": {**EXPERTS, "kv_channels": 8},
    "laguna": {**EXPERTS, **WINDOW},
    "llama4_text": {**EXPERTS, "intermediate_size_mlp": 48},
    "minimax_m2": EXPERTS,
    "mixtral": EXPERTS,
    "olmoe": EXPERTS,
    "phimoe": {**EXPERTS, "architectures": ["PhiMoEForCausalLM"]},  # as in its checkpoints
    "qwen2_moe": EXPERTS,
    "qwen3_moe": EXPERTS,
    # State spaces, short convolutions and linear attention, alone or beside attention.
    "bamba": {**MAMBA, "attn_layer_indices": [1, 3]},
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 64},
    "falcon_mamba": {"state_size": 4},
    "granitemoehybrid": {
        **{**EXPERTS, **MAMBA, "shared_intermediate_size": 16, "residual_multiplier": 0.5},
        **{"layer_types": ["mamba", "attention"] * 2, "position_embedding_type": "rope"},
    },
    "jamba": {
        **{"num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1},
        **{"use_mamba_kernels": False, "mamba_d_state": 4, "mamba_d_conv": 2},
    },
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {**EXPERTS, "layer_types": ["conv", "full_attention"] * 2},
    "mamba": {"state_size": 4},
    "mamba2": {"state_size": 8, "num_heads": 8, "n_groups": 2},
    "nemotron_h": {
        **EXPERTS,
        **{"mamba_num_heads": 8, "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 1},
        "moe_shared_expert_intermediate_size": 16,
        **{"layers_block_type": ["mamba", "attention", "mlp", "moe"], "use_mamba_kernels": False},
    },
    "olmo_hybrid": DELTA,
    "qwen3_5_moe_text": {**EXPERTS, **DELTA},
    "qwen3_5_text": DELTA,
    "qwen3_next": {**EXPERTS, **DELTA},
    "recurrent_gemma": {"attention_window_size": 24, "block_types": ["recurrent", "attention"]},
    "rwkv": {"context_length": 512},
    "zamba2": {
        **{"mamba_d_state": 8, "mamba_d_conv": 2, "n_mamba_heads": 8, "mamba_ngroups": 1},
        **{"layers_block_type": ["mamba", "hybrid"] * 2, "use_mamba_kernels": False},
    },
    # Stacks of blocks that are run several times.
    "hrm_text": {},
}


def tiny_model(family: str, seed: int = 0) -> Any:
    """A model of transformers with 4 layers and a residual stream of 32 dimensions."""
    torch.manual_seed(seed)
    sizes = {k: v for k, v in (SIZES | FAMILIES[family]).items() if v is not None}
    config = CONFIG_MAPPING[family.partition(":")[0]](**sizes)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).eval()
    model.config.architectures = model.config.architectures or [type(model).__name__]
    return with_random_weights(model)


def with_random_weights(model: Any) -> Any:
    """A model whose weights are drawn anew, larger than usual, so that layers differ and texts
    vary."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.25)  # 0.02 is usual
            else:  # gains other than one and biases other than zero, or mistakes there can't show
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def bridged(model: Any, name: str) -> Model:
    """A copy of a model of transformers as TransformerLens runs it."""
    from transformer_lens.model_bridge import TransformerBridge

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = ByT5Tokenizer(extra_ids=0)
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(folder)  # TransformerLens reads it again from where it is
        return TransformerBridge.boot_transformers(
            name,
            hf_model=copy.deepcopy(model),
            tokenizer=AutoTokenizer.from_pretrained(folder),
            device="cpu",
        )
