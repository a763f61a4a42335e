"""Writes a model whose plain weights do what a patch does, so that anything can run it.

    bake("smollm2-135m-instruct", vectors.add("nurse", layer=22), "nurse-model")
    load_model("nurse-model")     # or transformers, or llama.cpp's converter

An ablation takes the direction out of all that writes to the residual stream. An addition becomes a
bias of the block before, or of the embedding at layer 0. Tensors are read, changed and written one
after the other, so that no more than a part of the model is in memory.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from role_lens.errors import RoleLensError, first_line
from role_lens.files import as_path, make_folder
from role_lens.interop.cards import baked_card
from role_lens.interop.layer_additions import additions
from role_lens.interop.stream_writers import (
    StreamWriters,
    config_of,
    folder_of_model,
    writers_of,
)
from role_lens.models import load_model
from role_lens.patches.patch import Combined, Patches, combined
from role_lens.patches.patch_file import SavedPatches, about_of

_INDEX = "model.safetensors.index.json"
_WEIGHTS = re.compile(r".*\.(safetensors|bin|pt|pth|gguf|h5|msgpack)$|.*\.index\.json$")

Change: TypeAlias = Callable[[str, Tensor], Iterator[tuple[str, Tensor]]]
"""Gives what becomes of a tensor, under its name: itself, and what is to be written beside it."""


def bake(
    source: str | Path,
    patches: Patches,
    out: str | Path,
    about: Mapping[str, Any] | None = None,
    largest_file: int = 2 * 1024**3,
) -> Path:
    """Write the weights of a model changed so that they do what a patch does.

    Args:
        source: the packaged model, a local folder with safetensors, or a .gguf file.
        patches: an ablation, or one or more additions, of all tokens.
        out: a new folder.
        about: what else is known of the patch, as JSON values, for the model card.
        largest_file: bytes of weights in one file, at most, but for a tensor that is larger; as
            much is held in memory.

    Returns:
        The folder: weights in their own type, configuration, tokenizer and a model card.

    Raises:
        RoleLensError: the patch is of another model, or the weights can't express it (the message
            says what can); an architecture that isn't known; the folder exists, or the disk is too
            small. Nothing is left then.

    Examples:
        >>> from role_lens.interop import bake
        >>> bake("smollm2-135m-instruct", None, folder / "baked")
        Traceback (most recent call last):
            ...
        role_lens.errors.RoleLensError: expected a patch to bake, got none
    """
    several, target, known_of_it = combined(patches), as_path(out), about_of(about)
    if not several:
        raise RoleLensError("expected a patch to bake, got none")
    if target.exists():
        raise RoleLensError(f"{target} exists: name a new folder")
    folder, writers = folder_of_model(source), writers_of(source)
    config = config_of(folder)
    weights = _Weights(_files(folder), writers.embedding.split(".")[0] + ".", writers.unembedding)
    known = {name for names in weights.names().values() for name in names}
    if writers.embedding not in known:
        raise RoleLensError(f"{folder} holds no {writers.embedding}: is it a whole model?")
    change, settings = _change(several, writers, config, known)
    _check_fits(source, several)
    parent = make_folder(target.parent)
    if (free := shutil.disk_usage(parent).free) < 1.2 * weights.size():
        raise RoleLensError(
            f"{parent} has {free / 1e9:.2g} GB free, and the weights take "
            f"{weights.size() / 1e9:.2g} GB"
        )
    card = baked_card(SavedPatches(several, known_of_it), str(source))
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=parent))
    try:
        parts = _Parts(temporary, largest_file)
        for name, tensor in weights.read():
            for new_name, changed in change(name, tensor):
                parts.add(new_name, changed.to(tensor.dtype).contiguous())
        parts.finish()
        if writers.unembedding in parts.places:
            settings["tie_word_embeddings"] = False
        _write_rest(folder, temporary, config | settings, card)
        temporary.chmod(0o755)
        temporary.rename(target)
    except OSError as error:
        raise RoleLensError(f"can't write {target}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)
    return target


def _check_fits(source: str | Path, patches: Combined) -> None:
    model = load_model(source)
    for patch in patches:
        patch.check(model)


def _files(folder: Path) -> list[Path]:
    index = folder / _INDEX
    if index.exists():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return [folder / name for name in sorted(names)]
    if not (folder / "model.safetensors").exists():
        raise RoleLensError(f"{folder} holds no safetensors: save the model in that format first")
    return [folder / "model.safetensors"]


def _change(
    patches: Combined, writers: StreamWriters, config: Mapping[str, Any], known: set[str]
) -> tuple[Change, dict[str, Any]]:
    """What is done to each tensor, and what the configuration says then."""
    if writers.norms:
        raise RoleLensError(
            f"architecture {config['model_type']!r} has norms between its weights and the residual "
            "stream, so that no patch can be baked: hand it over as a file, as a control vector "
            "for llama.cpp, or for lm-eval's steered model"
        )
    adds = any(patch.kind == "add" and max(patch.layers) > 0 for patch in patches)
    needed = {**writers.required_config, **(writers.plain_config if adds else {})}
    for name, wanted in needed.items():
        if config.get(name, wanted) != wanted:
            raise RoleLensError(
                f"weights with {name} = {config[name]!r} can't be baked: hand the patch over as a "
                "file, or as a control vector for llama.cpp"
            )
    alone = patches[0] if len(patches) == 1 else None
    if alone and (alone.kind, alone.tokens, alone.gate) == ("ablate", "all", None):
        return _without(patches[0].direction, writers, _tied(config)), {}
    return _with_biases(additions(patches, "weights"), writers, config, known)


def _tied(config: Mapping[str, Any]) -> bool:
    from transformers import AutoConfig

    kind = AutoConfig.for_model(config["model_type"])
    return bool(config.get("tie_word_embeddings", getattr(kind, "tie_word_embeddings", True)))


def _without(direction: Float[Tensor, " d_model"], writers: StreamWriters, tied: bool) -> Change:
    """Take a direction out of all that writes."""
    u = direction.double()
    matrices, rows = (re.compile("|".join(one)) for one in (writers.matrices, writers.rows))

    def change(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
        if matrices.fullmatch(name) and writers.output_first:
            x = tensor.double()
            yield name, x - torch.outer(u, u @ x)
        elif matrices.fullmatch(name) or rows.fullmatch(name):
            x = tensor.double()
            yield name, x - (x @ u)[..., None] * u
        else:
            yield name, tensor
        if name == writers.embedding and tied:
            yield writers.unembedding, tensor  # the stream is read as before

    return change


def _with_biases(
    added: Mapping[int, Float[Tensor, " d_model"]],
    writers: StreamWriters,
    config: Mapping[str, Any],
    known: set[str],
) -> tuple[Change, dict[str, Any]]:
    """Add to the bias of the block before each layer, or to all embeddings."""
    by_name: dict[str, Tensor] = {}
    for layer, whole in added.items():
        if layer == 0:
            by_name[writers.embedding] = whole.double()
        elif writers.mlp_bias is None:
            raise RoleLensError(
                f"architecture {config['model_type']!r} has no place for a bias, so that an "
                "addition can't be baked: hand the patch over as a file, or as a control vector "
                "for llama.cpp"
            )
        else:
            by_name[writers.mlp_bias.format(layer=layer - 1)] = whole.double()
    tied, later = _tied(config), any(layer > 0 for layer in added)
    made = re.compile("|".join(writers.made_biases) if later else r"(?!)")

    def change(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield name, tensor.double() + by_name[name] if name in by_name else tensor
        if name == writers.embedding and name in by_name and tied:
            yield writers.unembedding, tensor  # the stream is read as before
        bias = name.removesuffix("weight") + "bias"
        if name.endswith(".weight") and made.fullmatch(bias) and bias not in known:
            yield bias, by_name.get(bias, torch.zeros(len(tensor), dtype=torch.float64))

    return change, dict(writers.made_config) if later else {}


class _Parts:
    """Files of weights, each written when it is full."""

    def __init__(self, folder: Path, largest: int) -> None:
        self.folder, self.largest = folder, largest
        self.places: dict[str, int] = {}
        self.total = 0
        self._part: dict[str, Tensor] = {}
        self._number, self._filled = 1, 0

    def add(self, name: str, tensor: Tensor) -> None:
        """Take a tensor."""
        size = tensor.numel() * tensor.element_size()
        if self._part and self._filled + size > self.largest:
            self._flush()
        self._part[name], self.places[name] = tensor, self._number
        self._filled, self.total = self._filled + size, self.total + size

    def _flush(self) -> None:
        try:
            save_file(self._part, self._file(self._number), metadata={"format": "pt"})
        except SafetensorError as error:
            raise RoleLensError(f"can't write to {self.folder}: {first_line(error)}") from error
        self._part, self._number, self._filled = {}, self._number + 1, 0

    def _file(self, number: int) -> Path:
        return self.folder / f"part-{number}"

    def finish(self) -> None:
        """Write what is left, name the files, and list what is in which."""
        self._flush()
        n = self._number - 1
        names = {i: f"model-{i:05}-of-{n:05}.safetensors" for i in range(1, n + 1)}
        names = {1: "model.safetensors"} if n == 1 else names
        for number, name in names.items():
            self._file(number).rename(self.folder / name)
            (self.folder / name).chmod(0o644)  # safetensors leaves them to their owner
        if n > 1:
            weight_map = {name: names[number] for name, number in self.places.items()}
            index = {"metadata": {"total_size": self.total}, "weight_map": weight_map}
            (self.folder / _INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class _Weights:
    """The tensors of a folder, under the names that an architecture gives them."""

    files: Sequence[Path]
    prefix: str
    """What all names begin with but the unembedding's; some checkpoints leave it out."""
    unembedding: str

    def names(self) -> dict[Path, dict[str, str]]:
        """Of each file: full name -> the name in it."""
        found = {
            file: list(self._opened(file, lambda opened: opened.keys())) for file in self.files
        }
        bare = not any(one.startswith(self.prefix) for some in found.values() for one in some)
        add = self.prefix if bare else ""
        return {
            file: {(one if one == self.unembedding else add + one): one for one in some}
            for file, some in found.items()
        }

    def read(self) -> Iterator[tuple[str, Tensor]]:
        """One tensor after the other."""
        for file, names in self.names().items():
            for full, name in names.items():
                yield full, self._opened(file, partial(_tensor, name))

    def size(self) -> int:
        """In bytes."""
        return sum(file.stat().st_size for file in self.files)

    @staticmethod
    def _opened(file: Path, what: Callable[[Any], Any]) -> Any:
        try:
            with safe_open(file, "pt") as opened:
                return what(opened)
        except (SafetensorError, OSError) as error:
            raise RoleLensError(f"can't read {file}: {first_line(error)}") from error


def _tensor(name: str, opened: Any) -> Tensor:
    tensor: Tensor = opened.get_tensor(name)
    return tensor


def _write_rest(source: Path, folder: Path, config: Mapping[str, Any], card: str) -> None:
    """Configuration, tokenizer and model card."""
    for file in source.iterdir():
        if file.is_file() and not _WEIGHTS.match(file.name) and file.name != "README.md":
            shutil.copy(file, folder / file.name)
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
