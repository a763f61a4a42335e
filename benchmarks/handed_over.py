"""Does a patch do the same in every way in which it can leave the package, and how fast?

    benchmarks/fetch_llama_cpp.sh llama-cpp
    python benchmarks/handed_over.py --vectors roles.safetensors --llama-cpp llama-cpp

An addition and an ablation of one role, on chat prompts: the largest difference of
log-probabilities of the next token from the hooks of this package (of tokens that have more than
one in ten thousand of the probability; of llama.cpp the difference of the changes, since its
arithmetic differs without a patch too), and the time for all prompts relative to the hooks', one
prompt at a time.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import tyro
from llama_cpp import in_llama_cpp, unquantised

from role_lens import Patch, RoleLensError, RoleVectors, encode_chat, load_model, load_prompts
from role_lens.interop import bake, export_patch
from role_lens.loading.folders import local_folder
from role_lens.loading.gguf import PACKAGED_MODEL, packaged_gguf
from role_lens.models import Model


@dataclass(frozen=True)
class Config:
    """Settings of the comparison of ways."""

    vectors: Path
    """A file written by `role-lens fit`, of the packaged model."""
    llama_cpp: Path | None = None
    """The folder that `fetch_llama_cpp.sh` made; without it llama.cpp is left out."""
    role: str = "economist"
    """Whose direction it is."""
    layer: int = 15
    """Its layer, 2 or more."""
    coefficient: float = 3.0
    """How many times it is added."""
    n_prompts: int = 50
    """How many of the built-in base prompts are asked."""
    out: Path = Path("role-lens-handed-over")
    """Folder for the files."""


LogProbs = np.ndarray


def main(config: Config) -> None:
    """Try all ways, and print a table."""
    config.out.mkdir(parents=True, exist_ok=True)
    model, vectors = load_model(PACKAGED_MODEL), RoleVectors.load(config.vectors)
    spec = {"layer": config.layer}
    patches = {
        "addition": vectors.add(config.role, coefficient=config.coefficient, **spec),
        "ablation": vectors.ablate(config.role, **spec),
    }
    prompts = load_prompts("builtin")[: config.n_prompts]
    tokens = [torch.tensor([one]) for one in encode_chat(model, prompts)]
    rows = []
    for what, patch in patches.items():
        plain = logprobs(model, tokens)
        began = time.perf_counter()
        with patch.on(model):
            hooks = logprobs(model, tokens)
        seconds = time.perf_counter() - began
        likely = hooks > np.log(1e-4)
        change = float(np.abs(hooks - plain)[likely].max())
        for way, run in ways(config, patch).items():
            try:
                program = run()
                began = time.perf_counter()
                found = logprobs(program, tokens)
                taken = (time.perf_counter() - began) / seconds
                differs = float(np.abs(found - hooks)[likely].max())
                rows.append((what, way, differs, change, taken, ""))
            except RoleLensError as error:
                rows.append((what, way, None, change, None, str(error)))
        rows += [(what, *row) for row in of_llama_cpp(config, model, patch, prompts, hooks, plain)]
    columns = ["patch", "way", "largest difference", "largest change", "times as long", "refused"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(config.out / "handed_over.csv", index=False)
    print(table.to_string(index=False, float_format=lambda x: f"{x:.2g}"))


@torch.inference_mode()
def logprobs(
    program: Callable[[torch.Tensor], torch.Tensor], tokens: list[torch.Tensor]
) -> LogProbs:
    """After each prompt."""
    found = (program(one)[0, -1].float().log_softmax(-1).numpy() for one in tokens)
    return np.stack(list(found))


def ways(
    config: Config, patch: Patch
) -> dict[str, Callable[[], Callable[[torch.Tensor], torch.Tensor]]]:
    """Each makes a program that gives logits."""
    source = local_folder(PACKAGED_MODEL)
    place = config.out

    def from_file() -> Callable[[torch.Tensor], torch.Tensor]:
        patch.save(place / "patch.safetensors")
        loaded, model = Patch.load(place / "patch.safetensors"), load_model(PACKAGED_MODEL)

        def run(tokens: torch.Tensor) -> torch.Tensor:
            with loaded.on(model):
                return model(tokens)

        return run

    def by_lm_eval() -> Callable[[torch.Tensor], torch.Tensor]:
        from lm_eval.models.hf_steered import SteeredModel

        export_patch(patch, place / "patch.pt", about={"model": PACKAGED_MODEL})
        theirs = SteeredModel(str(source), str(place / "patch.pt"), device="cpu", dtype="float32")
        return theirs._model_call

    def baked() -> Callable[[torch.Tensor], torch.Tensor]:
        from transformers import AutoModelForCausalLM

        shutil.rmtree(place / "baked", ignore_errors=True)
        folder = bake(PACKAGED_MODEL, patch, place / "baked")
        theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
        return lambda tokens: theirs(tokens).logits

    return {
        "patch file, hooks": from_file,
        "lm-eval, steered": by_lm_eval,
        "baked weights, transformers": baked,
    }


def of_llama_cpp(
    config: Config, model: Model, patch: Patch, prompts: list[str], hooks: LogProbs, plain: LogProbs
) -> Iterator[tuple[str, float | None, float, None, str]]:
    """Rows of a control vector in llama.cpp, on the file as it is and on unquantised weights."""
    if config.llama_cpp is None:
        return
    change = float(np.abs(hooks - plain)[hooks > np.log(1e-4)].max())
    files = {
        "llama.cpp, Q4_1 file": packaged_gguf(),
        "llama.cpp, the same weights unquantised": config.out / "unquantised.gguf",
    }
    if not files["llama.cpp, the same weights unquantised"].exists():
        unquantised(packaged_gguf(), config.out / "unquantised.gguf")
    for way, file in files.items():
        try:
            theirs = in_llama_cpp(config, model, file, patch, prompts)
        except RoleLensError as error:
            yield way, None, change, None, str(error)
            continue
        differs = np.abs((theirs["steered"] - theirs["plain"]) - (hooks - plain))
        yield way, float(differs[plain > np.log(1e-4)].max()), change, None, ""


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
