"""What analysis scripts have in common: model and vectors, a folder of results, the command line.

if __name__ == "__main__":
    sys.exit(main(Config, run, draw))
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import tyro

from role_lens.errors import RoleLensError
from role_lens.experiments.store import read_record, read_results, write_results
from role_lens.files import as_path, make_folder
from role_lens.models import Model, model_name
from role_lens.prompts import load_prompts, load_roles, spread
from role_lens.reporting.options import Common, ModelOptions
from role_lens.reporting.terminal import reported, say
from role_lens.vectors import RoleVectors
from role_lens.versions import package_versions

_RECORD = "results.json"
# Of a quick version: a quarter of the built-in ones.
QUICK_ROLE_PROMPTS, _QUICK_BASE_PROMPTS = 16, 64


@dataclass(frozen=True)
class Setup:
    """Which model and vectors, and where results go."""

    out: Path
    """Folder for results, figures and report."""
    options: Common = field(default_factory=ModelOptions)
    vectors: Path | None = None
    """A file written by `role-lens fit`; default: fitted on `prompts` and `base`, and kept in
    `out`."""
    prompts: tuple[str, ...] = ("builtin",)
    """Role prompts: builtin, a folder of <role>.jsonl or <role>.txt files, or one such file;
    several are put together."""
    base: str = "builtin"
    """Base prompts: builtin, a .jsonl or a .txt file."""
    seed: int = 0
    """Of everything that is drawn at random."""
    quick: bool = False
    """A small version that takes minutes at most: to see whether it works, not what is so."""
    redraw: bool = False
    """Only draw figures and report again, from the results that are in `out`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", as_path(self.out))

    def load_vectors(self, model: Model) -> RoleVectors:
        """The vectors: those named, those kept in `out`, or fitted now and kept there.

        Raises:
            RoleLensError: they are from another model, or those in `out` from other prompts, of
                another name of a model or of another precision; a seed below 0.
        """
        if self.seed < 0:  # before anything is computed
            raise RoleLensError(f"seeds count from 0, got {self.seed}")
        name = "vectors-quick.safetensors" if self.quick else "vectors.safetensors"
        kept = make_folder(self.out) / name
        if self.vectors is not None:
            vectors = RoleVectors.load(self.vectors)
        elif kept.exists():
            vectors = RoleVectors.load(kept)
            try:
                vectors = self.with_prompts(vectors)
            except RoleLensError as error:
                raise RoleLensError(f"{kept}: {error}, or choose another folder") from error
            made_of = (vectors.provenance["model"], vectors.provenance["dtype"])
            wanted = (model_name(model), str(model.cfg.dtype))
            if made_of != wanted:  # the check below lets a light fine-tune pass
                raise RoleLensError(
                    f"{kept}: these are of {' in '.join(made_of)}, the model is "
                    f"{' in '.join(wanted)}: choose another folder, or name them with --vectors"
                )
        else:
            vectors = RoleVectors.fit(model, self.role_prompts(), self.base_prompts())
            vectors.save(kept)
        vectors.check(model)
        return vectors

    def role_prompts(self) -> dict[str, list[str]]:
        """Those that the vectors are fitted on: some of each role for a quick version without
        vectors."""
        roles = load_roles(*self.prompts)
        if not self.quick or self.vectors is not None:
            return roles
        return {role: spread(texts, QUICK_ROLE_PROMPTS) for role, texts in roles.items()}

    def base_prompts(self) -> list[str]:
        """As `role_prompts`."""
        texts = load_prompts(self.base)
        few = self.quick and self.vectors is None
        return spread(texts, _QUICK_BASE_PROMPTS) if few else texts

    def with_prompts(self, vectors: RoleVectors) -> RoleVectors:
        """The vectors with the prompts that they were fitted on, `prompts` and `base`.

        Raises:
            RoleLensError: they were fitted on others.
        """
        try:
            return vectors.with_prompts(self.role_prompts(), self.base_prompts())
        except RoleLensError as error:
            raise RoleLensError(f"{error}: name theirs with --prompts and --base") from error


def place_of(vectors: RoleVectors, position: int, layer: int | None = None) -> tuple[int, int]:
    """Index of a position, and a layer; by default three quarters up.

    Raises:
        RoleLensError: the vectors don't have them.
    """
    layer = 3 * vectors.n_layers // 4 if layer is None else layer
    vectors.direction(vectors.roles[0], layer=layer, position=position)
    return vectors.positions.index(position), layer


def every_layer(vectors: RoleVectors, step: int, first: int = 1) -> range:
    """Layers of the vectors, so many apart.

    Raises:
        RoleLensError: a step below 1.
    """
    if step < 1:
        raise RoleLensError(f"a step from layer to layer is at least 1, got {step}")
    return range(first, vectors.n_layers, step)


@dataclass(frozen=True, eq=False)
class Results:
    """What an analysis found, and how."""

    tables: Mapping[str, pd.DataFrame]
    record: Mapping[str, Any]
    """Analysis, settings, model, where the vectors are from, and versions, as JSON values."""

    @staticmethod
    def of(config: Any, model: Model, vectors: RoleVectors, **tables: pd.DataFrame) -> "Results":
        """Tables with what made them.

        Args:
            config: a dataclass.
        """
        made = {
            "analysis": _name(type(config)),
            "settings": asdict(config),
            "model": model_name(model),
            "vectors": dict(vectors.provenance),
            "versions": package_versions(),
        }
        return Results(tables, json.loads(json.dumps(made, default=str)))

    def write(self, folder: str | Path) -> None:
        """Write `<name>.parquet` for each table, and `results.json`.

        Raises:
            RoleLensError: the folder can't be written to.
        """
        write_results(folder, _RECORD, self.tables, self.record)

    @staticmethod
    def read(folder: str | Path) -> "Results":
        """What `write` wrote.

        Raises:
            RoleLensError: there are no results in the folder, or they are damaged.
        """
        found = read_results(folder, _RECORD)
        if found is None:
            raise RoleLensError(f"{folder} holds no results to draw: run the analysis first")
        return Results(*found)


def main(
    config: type[Any],
    run: Callable[[Any], Results],
    draw: Callable[[Results, Path], None],
    arguments: list[str] | None = None,
) -> int:
    """The command line of an analysis: run, unless only drawing is asked for, and draw.

    Args:
        config: a dataclass with a `Setup` as `setup`.

    Returns:
        0 if it worked, 2 for input that can't be used, 130 if interrupted.
    """

    def command() -> None:
        settings = tyro.cli(config, args=arguments, config=(tyro.conf.OmitArgPrefixes,))
        folder = settings.setup.out
        kept = read_record(folder, _RECORD)
        if kept is not None and kept.get("analysis") != _name(config):
            raise RoleLensError(
                f"{folder} holds the results of {kept.get('analysis')}: choose another folder"
            )
        draw(Results.read(folder) if settings.setup.redraw else run(settings), folder)
        say(f"Written to {folder.resolve()}: open report.html")

    return reported(command)


def _name(config: type[Any]) -> str:
    """The analysis that these are the settings of, by its file."""
    return Path(str(sys.modules[config.__module__].__file__)).stem
