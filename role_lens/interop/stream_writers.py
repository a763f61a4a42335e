"""Lists which parameters of an architecture write to the residual stream, by their names.

    WRITERS["gpt2"].matrices    # patterns of the weights whose output is added to the stream

Of architectures that are not listed nothing can be baked or named. Where norms stand after
attention and MLP (Gemma 2 and 3, OLMo 2 and 3), these norms write, and what they write is no linear
map of any weight: it can be named, and not baked.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from role_lens.errors import RoleLensError
from role_lens.loading.folders import local_folder
from role_lens.values import shown


@dataclass(frozen=True)
class StreamWriters:
    """Parameters that write to the residual stream; patterns are regular expressions."""

    embedding: str
    """The token embedding, a row for each token."""
    block: str
    """A block, with {layer} for its number."""
    matrices: tuple[str, ...]
    """Weights whose output is added to the stream."""
    biases: tuple[str, ...] = ()
    """Biases that are added to it."""
    norms: tuple[str, ...] = ()
    """Weights of norms between those and the stream, if there are some."""
    positions: str | None = None
    """The embedding of positions, if there is one, a row for each."""
    output_first: bool = True
    """Whether a weight's output is its first axis, as in torch; else its last, as in GPT-2."""
    unembedding: str = "lm_head.weight"
    """Under which name an unembedding that isn't tied is read."""
    mlp_bias: str | None = None
    """The bias of a block's MLP, with {layer} for its number."""
    made_biases: tuple[str, ...] = ()
    """Biases that are made where there are none: all that loading then expects."""
    made_config: dict[str, Any] = field(default_factory=dict)
    """What the configuration has to say then."""
    plain_config: dict[str, Any] = field(default_factory=dict)
    """What it has to say for such biases, or nothing at all."""
    required_config: dict[str, Any] = field(default_factory=dict)
    """What it has to say for anything to be changed, or nothing at all."""

    @property
    def rows(self) -> tuple[str, ...]:
        """Patterns of what holds vectors of the stream as its rows, or is one."""
        return (*self.embeddings, *self.biases)

    @property
    def modules(self) -> tuple[str, ...]:
        """Patterns of the weights of all modules whose outputs are added up in the stream."""
        return (*self.embeddings, *(self.norms or self.matrices))

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Patterns of the embeddings, of which the stream is the sum before block 0."""
        return tuple(re.escape(one) for one in (self.embedding, self.positions) if one)


_LLAMA_MATRICES = (
    r"model\.layers\.\d+\.self_attn\.o_proj\.weight",
    r"model\.layers\.\d+\.mlp\.down_proj\.weight",
)
_LLAMA_BIASES = (
    r"model\.layers\.\d+\.self_attn\.o_proj\.bias",
    r"model\.layers\.\d+\.mlp\.down_proj\.bias",
)
_MLP = r"model\.layers\.\d+\.mlp\.(gate|up|down)_proj\.bias"
_ATTENTION_OUT = r"model\.layers\.\d+\.self_attn\.o_proj\.bias"
_AS_LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "mlp_bias": True}


def _like_llama(**more: Any) -> StreamWriters:
    return StreamWriters(
        "model.embed_tokens.weight",
        "model.layers.{layer}",
        _LLAMA_MATRICES,
        _LLAMA_BIASES,
        mlp_bias="model.layers.{layer}.mlp.down_proj.bias",
        **more,
    )


_WITH_NORMS = StreamWriters(
    "model.embed_tokens.weight",
    "model.layers.{layer}",
    _LLAMA_MATRICES,
    _LLAMA_BIASES,
    norms=(r"model\.layers\.\d+\.post_(attention|feedforward)_layernorm\.weight",),
)

WRITERS: dict[str, StreamWriters] = {
    "llama": _like_llama(made_biases=(_MLP,), made_config={"mlp_bias": True}),
    # The same computation as Llama's, which has a place for biases that these lack.
    "mistral": _like_llama(
        made_biases=(_MLP,),
        made_config=_AS_LLAMA,
        plain_config={"sliding_window": None},
    ),
    "qwen2": _like_llama(
        made_biases=(_MLP, _ATTENTION_OUT),
        made_config={**_AS_LLAMA, "attention_bias": True},
        plain_config={"use_sliding_window": False},
    ),
    "qwen3": StreamWriters(
        "model.embed_tokens.weight", "model.layers.{layer}", _LLAMA_MATRICES, _LLAMA_BIASES
    ),
    **dict.fromkeys(("gemma2", "gemma3_text", "olmo2", "olmo3"), _WITH_NORMS),
    "gpt2": StreamWriters(
        "transformer.wte.weight",
        "transformer.h.{layer}",
        (
            r"transformer\.h\.\d+\.attn\.c_proj\.weight",
            r"transformer\.h\.\d+\.mlp\.c_proj\.weight",
        ),
        (
            r"transformer\.h\.\d+\.attn\.c_proj\.bias",
            r"transformer\.h\.\d+\.mlp\.c_proj\.bias",
        ),
        positions="transformer.wpe.weight",
        output_first=False,
        mlp_bias="transformer.h.{layer}.mlp.c_proj.bias",
    ),
    "gpt_neox": StreamWriters(
        "gpt_neox.embed_in.weight",
        "gpt_neox.layers.{layer}",
        (
            r"gpt_neox\.layers\.\d+\.attention\.dense\.weight",
            r"gpt_neox\.layers\.\d+\.mlp\.dense_4h_to_h\.weight",
        ),
        (
            r"gpt_neox\.layers\.\d+\.attention\.dense\.bias",
            r"gpt_neox\.layers\.\d+\.mlp\.dense_4h_to_h\.bias",
        ),
        unembedding="embed_out.weight",
        mlp_bias="gpt_neox.layers.{layer}.mlp.dense_4h_to_h.bias",
    ),
    "opt": StreamWriters(
        "model.decoder.embed_tokens.weight",
        "model.decoder.layers.{layer}",
        (
            r"model\.decoder\.layers\.\d+\.self_attn\.out_proj\.weight",
            r"model\.decoder\.layers\.\d+\.fc2\.weight",
        ),
        (
            r"model\.decoder\.layers\.\d+\.self_attn\.out_proj\.bias",
            r"model\.decoder\.layers\.\d+\.fc2\.bias",
        ),
        positions="model.decoder.embed_positions.weight",
        mlp_bias="model.decoder.layers.{layer}.fc2.bias",
        required_config={"do_layer_norm_before": True, "_remove_final_layer_norm": False},
    ),
}
"""By `model_type` of a configuration."""


def config_of(folder: Path) -> dict[str, Any]:
    """The configuration in a model's folder.

    Raises:
        RoleLensError: there is none that can be read.
    """
    try:
        return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RoleLensError(f"{folder} has no readable config.json: {error}") from error


def folder_of_model(source: str | Path) -> Path:
    """The folder of a local model.

    Raises:
        RoleLensError: it isn't local.
    """
    folder = local_folder(source)
    if folder is None:
        raise RoleLensError(
            f"{shown(str(source))} is no local model: download it first, with `hf download`"
        )
    return folder


def writers_of(source: str | Path) -> StreamWriters:
    """What writes to the stream of a local model.

    Raises:
        RoleLensError: it isn't local, or its architecture isn't listed.
    """
    kind = str(config_of(folder_of_model(source)).get("model_type"))
    if kind not in WRITERS:
        raise RoleLensError(
            f"what writes to the residual stream of architecture {kind!r} isn't known, only of "
            f"{', '.join(WRITERS)}: hand the patch over as a file, or as a control vector for "
            "llama.cpp"
        )
    return WRITERS[kind]


def parameters_of(source: str | Path) -> frozenset[str]:
    """The names of a local model's parameters, of which none is loaded."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(folder_of_model(source))
        )
    return frozenset(name for name, _ in model.named_parameters())
