"""Does a control vector in llama.cpp do what the patch does here?

    benchmarks/fetch_llama_cpp.sh llama-cpp
    python benchmarks/llama_cpp.py --llama-cpp llama-cpp --vectors roles.safetensors

Exports an addition, and compares on chat prompts how it changes all log-probabilities of the next
token: under hooks on the dequantised weights, and in llama.cpp on the file; on the file as it is,
and on the same weights written unquantised. With llama.cpp's own converter (`--converter
convert_hf_to_gguf.py`, from its source) an addition and an ablation are also baked into the
weights, converted, and run in llama.cpp without a vector. The model is a GGUF file.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from gguf import GGUFReader, GGUFValueType, GGUFWriter, dequantize

from role_lens import (
    Patch,
    RoleVectors,
    encode_chat,
    generate,
    load_model,
    load_prompts,
)
from role_lens.interop import bake, export_patch
from role_lens.loading.gguf import PACKAGED_MODEL, packaged_gguf
from role_lens.models import Model
from role_lens.scoring import answer_logprobs

GREEDY = 24
"""Tokens of a continuation, as in `llama_cpp_logits.py`."""


@dataclass(frozen=True)
class Config:
    """Settings of the comparison with llama.cpp."""

    llama_cpp: Path
    """The folder that `fetch_llama_cpp.sh` made."""
    vectors: Path
    """A file written by `role-lens fit`, of the same model."""
    role: str = "economist"
    """Whose direction it is."""
    layer: int = 15
    """Its layer, 2 or more."""
    coefficient: float = 3.0
    """How many times it is added."""
    model: str = PACKAGED_MODEL
    """The packaged model, or a GGUF file."""
    n_prompts: int = 50
    """How many of the built-in base prompts are asked."""
    unquantised: bool = True
    """Whether the weights are also written unquantised, which takes 4 bytes for each."""
    converter: Path | None = None
    """llama.cpp's convert_hf_to_gguf.py, to run baked weights too."""
    out: Path = Path("role-lens-llama-cpp")
    """Folder for the files."""


def main(config: Config) -> None:
    """Export, run both, compare."""
    config.out.mkdir(parents=True, exist_ok=True)
    file = packaged_gguf() if config.model == PACKAGED_MODEL else Path(config.model)
    model, vectors = load_model(config.model), RoleVectors.load(config.vectors)
    patch = vectors.add(config.role, layer=config.layer, coefficient=config.coefficient)
    prompts = load_prompts("builtin")[: config.n_prompts]
    files = {"as it is": file}
    if config.unquantised:
        files["unquantised"] = unquantised(file, config.out / "unquantised.gguf")
    hooks, rows, theirs = under_hooks(model, patch, prompts), {}, {}
    for name, one in files.items():
        theirs[name] = in_llama_cpp(config, model, one, patch, prompts)
        rows[name] = agreement(hooks, theirs[name])
        print(f"{name}: {json.dumps(rows[name])}", flush=True)
    if config.converter is not None:
        ablation = vectors.ablate(config.role, layer=config.layer)
        plain = theirs["unquantised" if config.unquantised else "as it is"]
        for name, one in {"baked addition": patch, "baked ablation": ablation}.items():
            whole = in_llama_cpp(config, model, baked(config, one), None, prompts)
            steered = {"steered": whole["plain"], "steered_text": whole["plain_text"]}
            rows[name] = agreement(under_hooks(model, one, prompts), plain | steered)
            print(f"{name}: {json.dumps(rows[name])}", flush=True)
    (config.out / "agreement.json").write_text(json.dumps(rows, indent=1))


def under_hooks(model: Model, patch: Patch, prompts: list[str]) -> dict[str, np.ndarray]:
    """Log-probabilities after each prompt, and greedy answers, without and with the patch."""
    found = {}
    for name, one in (("plain", None), ("steered", patch)):
        logprobs = answer_logprobs(model, prompts, one).numpy()
        texts = generate(model, prompts, patch=one, max_new_tokens=GREEDY)
        found |= {name: logprobs, f"{name}_text": np.array(texts)}
    return found


def in_llama_cpp(
    config: Config, model: Model, file: Path, patch: Patch | None, prompts: list[str]
) -> dict[str, np.ndarray]:
    """The same, by llama.cpp, under the exported patch; without one only plain."""
    vector, asked, out = (config.out / name for name in ("v.gguf", "prompts.json", "out.npz"))
    vector.unlink(missing_ok=True)
    if patch is not None:
        export_patch(patch, vector)
    asked.write_text(json.dumps(encode_chat(model, prompts)))
    program = Path(__file__).with_name("llama_cpp_logits.py")
    python = config.llama_cpp / "env" / "bin" / "python"
    command = [str(python.absolute()), str(program), str(file), str(vector), str(asked), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"llama.cpp failed: {done.stderr.strip()[-500:]}")
    found = dict(np.load(out))
    for name in ("plain", "steered") if patch is not None else ("plain",):
        found[name] = torch.from_numpy(found[name]).log_softmax(-1).numpy()
        found[f"{name}_text"] = np.array([text_of(model, row) for row in found[f"{name}_text"]])
    return found


def text_of(model: Model, tokens: np.ndarray) -> str:
    """The text of a continuation, up to its end."""
    ends = np.flatnonzero(tokens == model.tokenizer.eos_token_id)
    kept = tokens[: ends[0]] if len(ends) else tokens
    return str(model.tokenizer.decode(kept.tolist(), skip_special_tokens=True)).strip()


def agreement(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """How well two programs agree, over all prompts."""
    change, other = (one["steered"] - one["plain"] for one in (ours, theirs))
    likely = ours["plain"] > np.log(1e-4)  # what is said at all
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(change, other, strict=True)]
    found = {
        "prompts": len(change),
        "correlation of changes, mean": np.mean(correlations),
        "correlation of changes, lowest": np.min(correlations),
        "largest difference of changes": np.abs(change - other)[likely].max(),
        "largest difference, plain": np.abs(ours["plain"] - theirs["plain"])[likely].max(),
        "same first token, steered": np.mean(
            ours["steered"].argmax(-1) == theirs["steered"].argmax(-1)
        ),
    }
    for name in ("plain", "steered"):
        texts = [[one.strip() for one in some[f"{name}_text"]] for some in (ours, theirs)]
        found[f"same text, {name}"] = np.mean([a == b for a, b in zip(*texts, strict=True)])
    return {name: round(float(value), 4) for name, value in found.items()}


def baked(config: Config, patch: Patch) -> Path:
    """A GGUF file, by llama.cpp's converter, of weights that do what a patch does."""
    folder, file = (config.out / f"{patch.kind}{ending}" for ending in ("", ".gguf"))
    shutil.rmtree(folder, ignore_errors=True)
    bake(config.model, patch, folder)
    command = [sys.executable, str(config.converter), str(folder), "--outtype", "f32"]
    # The converter goes with the gguf package of its own source.
    here = {**os.environ, "PYTHONPATH": str(config.converter.parent / "gguf-py")}
    command += ["--outfile", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=here)
    if done.returncode:
        sys.exit(f"the converter failed: {done.stderr.strip()[-500:]}")
    return file


def unquantised(file: Path, out: Path) -> Path:
    """The same weights as 32-bit numbers, and all else as it is."""
    reader = GGUFReader(file)
    writer = GGUFWriter(out, str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind = field.types[0]
            of = field.types[-1] if kind == GGUFValueType.ARRAY else None
            value = 0 if name == "general.file_type" else field.contents()
            writer.add_key_value(name, value, kind, sub_type=of)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
