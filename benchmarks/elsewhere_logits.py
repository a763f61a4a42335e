"""Logits in another library, plain and with an addition. Run by `benchmarks/elsewhere.py`.

    other/bin/python benchmarks/elsewhere_logits.py pyvene model-folder asked.json logits.npz

Reads `{"tokens": [[...], ...], "added": {layer: [...]}, "gguf": file}`, and writes the logits after
each prompt. It needs the library, and nothing of this package. What is added at layer l is added to
what block l takes in, which is what block l - 1 puts out.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Logits = Callable[[list[int]], torch.Tensor]


def main(runtime: str, model: str, asked: str, out: str) -> None:
    """Ask each prompt with and without the addition."""
    request = json.loads(Path(asked).read_text())
    request["added"] = {int(layer): torch.tensor(one) for layer, one in request["added"].items()}
    plain, steered = RUNTIMES[runtime](model, request)
    with torch.inference_mode():
        rows = {
            name: np.stack([logits(one).float().cpu().numpy() for one in request["tokens"]])
            for name, logits in (("plain", plain), ("steered", steered))
        }
    np.savez(out, **rows)


def remote_bridge(model: str, request: dict[str, Any]) -> tuple[Logits, Logits]:
    """By specifications of what is to be done at a hook."""
    from transformer_lens.model_bridge import RemoteBridge

    specs = {
        f"blocks.{layer - 1}.hook_out": {"op": "add", "value": one.tolist()}
        for layer, one in request["added"].items()
    }
    # Compiling takes longer than some prompts.
    bridge = RemoteBridge.boot_vllm(
        model, dtype=torch.float32, max_model_len=1024, enforce_eager=True
    )

    def logits(tokens: list[int], intervene: dict[str, Any] | None = None) -> torch.Tensor:
        return bridge.forward(torch.tensor([tokens]), intervene=intervene)[0, -1]

    return logits, lambda tokens: logits(tokens, specs)


def pyvene(model: str, request: dict[str, Any]) -> tuple[Logits, Logits]:
    """By interventions on the inputs of blocks."""
    from pyvene import AdditionIntervention, IntervenableModel

    plain = loaded(model)
    width = plain.config.hidden_size
    added = [
        {
            "layer": layer,
            "component": "block_input",
            "intervention": AdditionIntervention(embed_dim=width, source_representation=one),
        }
        for layer, one in request["added"].items()
    ]
    steered = IntervenableModel(added, loaded(model))
    steered.disable_model_gradients()

    def logits(tokens: list[int]) -> torch.Tensor:
        _, output = steered(base={"input_ids": torch.tensor([tokens])})
        return output.logits[0, -1]

    return last_logits(plain), logits


def steering_vectors(model: str, request: dict[str, Any]) -> tuple[Logits, Logits]:
    """By the tensors, on the outputs of blocks."""
    from steering_vectors import SteeringVector

    plain, steered = loaded(model), loaded(model)
    added = {layer - 1: one for layer, one in request["added"].items()}
    SteeringVector(added, "decoder_block").patch_activations(steered)
    return last_logits(plain), last_logits(steered)


def repeng(model: str, request: dict[str, Any]) -> tuple[Logits, Logits]:
    """By the control vector of llama.cpp, on the outputs of blocks."""
    np.float_ = np.float64  # repeng 0.4.0 needs the name, which numpy 2 has no more
    from repeng import ControlModel, ControlVector

    steered = ControlModel(loaded(model), [layer - 1 for layer in request["added"]])
    steered.set_control(ControlVector.import_gguf(request["gguf"]), 1.0)
    return last_logits(loaded(model)), last_logits(steered)


RUNTIMES = {one.__name__: one for one in (pyvene, remote_bridge, repeng, steering_vectors)}


def loaded(folder: str) -> torch.nn.Module:
    """The model in transformers."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def last_logits(model: torch.nn.Module) -> Logits:
    """What gives the logits after a prompt."""
    return lambda tokens: model(torch.tensor([tokens])).logits[0, -1]


if __name__ == "__main__":
    main(*sys.argv[1:])
