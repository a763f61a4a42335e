"""Writes additions as a control vector of llama.cpp: a GGUF file with `direction.<N>`.

    llama-server -m smollm2.gguf --control-vector nurse.gguf

llama.cpp adds `direction.N` to the output of block N, which is the input of our layer N + 1, for
all tokens; of block 0 it takes none. So layers of 2 and more can be handed over, and at scale 1 the
control vector does what the patch does. repeng reads the same file (`ControlVector.import_gguf`).
What is known of the patch, such as its verdict, is the key `role_lens.about`, which nothing needs.
Architectures for which llama.cpp builds no control vectors ignore it without a word (llama.cpp
#20541).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.files import atomic_write
from role_lens.interop.layer_additions import additions
from role_lens.patches.patch import Combined

_ARCHITECTURE = "controlvector"


def write(patches: Combined, path: Path, about: Mapping[str, Any]) -> None:
    """Write what is added at each layer.

    Raises:
        RoleLensError: a layer below 2.
    """
    from gguf import GGUFWriter

    layers = additions(patches, "llama.cpp")
    if early := [layer for layer in layers if layer < 2]:
        raise RoleLensError(
            f"llama.cpp adds to no layer before 2, so that layer {early[0]} can't be expressed: "
            "take a direction of a later layer, or hand it over as a .safetensors or .npz file"
        )
    with atomic_write(path) as temporary:
        writer = GGUFWriter(temporary, _ARCHITECTURE)
        # repeng and EasySteer refuse a file without a hint, and GGUFWriter leaves out empty ones.
        writer.add_string(f"{_ARCHITECTURE}.model_hint", str(about.get("model") or "unknown"))
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(layers))
        if about:
            writer.add_string("role_lens.about", json.dumps(about, ensure_ascii=False))
        for layer, whole in layers.items():
            writer.add_tensor(f"direction.{layer - 1}", whole.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
