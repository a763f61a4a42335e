"""What llama.cpp computes, without and with a control vector. Run by `benchmarks/llama_cpp.py`.

    llama-cpp/env/bin/python benchmarks/llama_cpp_logits.py model.gguf vector.gguf prompts.json out

Reads a list of lists of tokens; writes the logits after each list, and greedy continuations: plain,
and where there is a file of a vector, under it. It needs the environment that `fetch_llama_cpp.sh`
makes, and nothing of this package.
"""

import ctypes
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

GREEDY = 24
"""Tokens of a continuation."""
_CONTEXT = 2048


def libraries() -> None:
    """Load llama.cpp's libraries and the one that suits this processor."""
    spec = importlib.util.find_spec("llama_cpp_py_sync")
    (folder,) = spec.submodule_search_locations
    ctypes.CDLL(f"{folder}/libggml-base.so", mode=ctypes.RTLD_GLOBAL)
    (ggml,) = Path(folder).glob("libggml.v*.so")
    loaded = ctypes.CDLL(str(ggml), mode=ctypes.RTLD_GLOBAL)
    loaded.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
    loaded.ggml_backend_load_all_from_path(folder.encode())


def rows_of(vector: str, n_layers: int, width: int) -> np.ndarray:
    """The rows that llama.cpp's loader makes of a file: `direction.N` is row N - 1, and what is
    there twice is summed."""
    from gguf import GGUFReader

    rows = np.zeros((n_layers - 1, width), np.float32)
    for tensor in GGUFReader(vector).tensors:
        head, _, number = tensor.name.partition(".")
        if head != "direction" or int(number) < 1 or tensor.tensor_type.name != "F32":
            raise SystemExit(f"llama.cpp refuses tensor {tensor.name} ({tensor.tensor_type.name})")
        rows[int(number) - 1] += tensor.data
    return rows


class Program:
    """A loaded model."""

    def __init__(self, path: str) -> None:
        from llama_cpp_py_sync import Llama

        # More threads than cores wait for each other in loops.
        self.llama: Any = Llama(path, n_ctx=_CONTEXT, n_threads=len(os.sched_getaffinity(0)))
        self.lib, self.ffi, self.context = self.llama._lib, self.llama._ffi, self.llama._ctx

    def steer(self, rows: np.ndarray | None) -> None:
        """Add rows to the outputs of blocks 1 and following, or nothing."""
        width, last = self.llama.n_embd, self.llama.n_layer - 1
        if rows is None:
            data, size = self.ffi.NULL, 0
        else:
            data, size = self.ffi.from_buffer("float[]", np.ascontiguousarray(rows)), rows.size
        if self.lib.llama_set_adapter_cvec(self.context, data, size, width, 1, last):
            raise SystemExit("llama.cpp refuses the control vector")

    def logits(self, tokens: list[int], past: int = 0) -> np.ndarray:
        """Logits after the last token."""
        if not past:
            self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        self.llama._eval_tokens(tokens, past)
        pointer = self.lib.llama_get_logits_ith(self.context, -1)
        size = 4 * self.llama.n_vocab
        return np.frombuffer(self.ffi.buffer(pointer, size), dtype=np.float32).copy()

    def greedy(self, tokens: list[int]) -> list[int]:
        """The likeliest continuation, token by token."""
        found, logits = [], self.logits(tokens)
        for number in range(GREEDY):
            found.append(int(logits.argmax()))
            logits = self.logits(found[-1:], len(tokens) + number)
        return found


def main(model: str, vector: str, prompts: str, out: str) -> None:
    """Compute and write."""
    libraries()
    tokens = json.loads(Path(prompts).read_text())
    program = Program(model)
    conditions: dict[str, np.ndarray | None] = {"plain": None}
    if Path(vector).exists():
        conditions["steered"] = rows_of(vector, program.llama.n_layer, program.llama.n_embd)
    found = {}
    for name, added in conditions.items():
        program.steer(added)
        found[name] = np.stack([program.logits(one) for one in tokens])
        found[f"{name}_text"] = np.array([program.greedy(one) for one in tokens])
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
