"""Holds what analysis scripts share: settings, tables in a run folder, and the command line.

    if __name__ == "__main__":
        sys.exit(main(Config, run, draw))

`Config` is a dataclass of settings with a `Setup` in it, `run` computes `Results`, and `draw` makes
figures and a report of them.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import tyro

from role_lens.chat import template_identity
from role_lens.errors import RoleLensError
from role_lens.experiments.settings import settings_of
from role_lens.experiments.store import claimed, read_record, read_results, write_results
from role_lens.files import as_path, check_folder, make_folder, read_bytes
from role_lens.models import Model, model_name
from role_lens.prompts import load_prompts, load_roles, spread
from role_lens.reporting.options import Common, ModelOptions
from role_lens.reporting.terminal import reported, say
from role_lens.scoring.identity import content_hash
from role_lens.values import shown
from role_lens.vectors import RoleVectors
from role_lens.versions import package_versions

_RECORD = "results.json"
_SAME_RESULTS = ("out", "redraw", "device")
# Settings that may name a file or a folder. No other is looked for on the disk: a folder "release"
# beside it would change what --protocol release is known by.
_MAY_BE_PATHS = {
    *("answers", "base", "examples", "model", "prompts", "questions"),
    *("sae", "tokenizer", "validation", "vectors"),
}
# Prompts of each role, and base prompts, in a quick version: a quarter of the built-in ones.
QUICK_ROLE_PROMPTS, _QUICK_BASE_PROMPTS = 16, 64


@dataclass(frozen=True)
class Setup:
    """Settings of every analysis: model, vectors, and where results go.

    Examples:
        >>> from role_lens.reporting import Setup
        >>> setup = Setup(folder, quick=True)
        >>> len(setup.role_prompts()["nurse"]), len(setup.base_prompts())    # of 64 and of 256
        (16, 64)
    """

    out: Path
    """Run folder: results, figures and report are written there. One that holds results of other
    settings is refused, but for those that can't change results: device, out and redraw."""
    options: Common = field(default_factory=ModelOptions)
    vectors: Path | None = None
    """A file written by `role-lens fit`. Without one, vectors are fitted, and kept in the run
    folder."""
    prompts: tuple[str, ...] = ("builtin",)
    """Prompts of the roles: builtin, <role>.jsonl or <role>.txt files, or folders of them."""
    base: str = "builtin"
    """Base prompts, which roles are set against: builtin, a .jsonl or a .txt file."""
    seed: int = 0
    """Seed of everything that is drawn at random."""
    quick: bool = False
    """A small version that takes minutes at most: it shows that this works, not what is true."""
    redraw: bool = False
    """Only draw figures and report again, from the results in the run folder."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", as_path(self.out))

    def load_vectors(self, model: Model) -> RoleVectors:
        """The vectors that the analysis is about.

        They are read from the file `vectors`; without one, from the run folder; and if there are
        none yet, they are fitted and written there.

        Args:
            model: the model that they have to be of.

        Raises:
            RoleLensError: vectors of another model; those in the run folder are of other prompts,
                of another name of a model or of another precision; a seed below 0.
        """
        if self.seed < 0:  # before anything is computed
            raise RoleLensError(f"seed must be at least 0, got {self.seed}")
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
            wanted = {"model": model_name(model), "dtype": str(model.cfg.dtype)}
            wanted |= template_identity(model)
            for key, here in wanted.items():  # the check below lets a light fine-tune pass
                there = vectors.provenance.get(key)
                if there != here:
                    raise RoleLensError(
                        f"{kept}: these vectors were fitted with another {key} ({shown(there)} "
                        f"there, {shown(here)} here): choose another folder, or name them with "
                        "--vectors"
                    )
        else:
            vectors = RoleVectors.fit(model, self.role_prompts(), self.base_prompts())
            vectors.save(kept)
        vectors.check(model)
        return vectors

    def role_prompts(self) -> dict[str, list[str]]:
        """Role name -> the prompts that vectors are fitted on.

        A quick version that fits vectors itself takes 16 of each role.

        Raises:
            RoleLensError: as `load_roles`.
        """
        roles = load_roles(*self.prompts)
        if not self.quick or self.vectors is not None:
            return roles
        return {role: spread(texts, QUICK_ROLE_PROMPTS) for role, texts in roles.items()}

    def base_prompts(self) -> list[str]:
        """The base prompts that vectors are fitted on.

        A quick version that fits vectors itself takes 64.

        Raises:
            RoleLensError: as `load_prompts`.
        """
        texts = load_prompts(self.base)
        few = self.quick and self.vectors is None
        return spread(texts, _QUICK_BASE_PROMPTS) if few else texts

    def with_prompts(self, vectors: RoleVectors) -> RoleVectors:
        """The vectors together with the prompts that they were fitted on, `prompts` and `base`.

        Raises:
            RoleLensError: they were fitted on others.
        """
        try:
            return vectors.with_prompts(self.role_prompts(), self.base_prompts())
        except RoleLensError as error:
            raise RoleLensError(f"{error}: name theirs with --prompts and --base") from error


def place_of(vectors: RoleVectors, position: int, layer: int | None = None) -> tuple[int, int]:
    """Index of a position among those of the vectors, and a layer.

    Args:
        vectors: fitted ones.
        position: token position, negative, from the end of the formatted prompt.
        layer: None for the one three quarters of the way up.

    Returns:
        The index, and the layer.

    Raises:
        RoleLensError: the vectors don't have the position or the layer.

    Examples:
        >>> from role_lens.reporting import place_of
        >>> place_of(vectors, position=-1)    # positions are -2 and -1, layers 0 to 2
        (1, 2)
    """
    layer = 3 * vectors.n_layers // 4 if layer is None else layer
    vectors.direction(vectors.roles[0], layer=layer, position=position)
    return vectors.positions.index(position), layer


def every_layer(vectors: RoleVectors, step: int, first: int = 1) -> range:
    """The layers of the vectors at equal steps.

    Args:
        vectors: fitted ones.
        step: from one layer to the next.
        first: the first layer; 1 leaves out layer 0, where directions are zero in most models.

    Returns:
        The layers, up to the last that the steps reach.

    Raises:
        RoleLensError: a step below 1.

    Examples:
        >>> from role_lens.reporting import every_layer
        >>> list(every_layer(vectors, step=1)), list(every_layer(vectors, step=2, first=0))
        ([1, 2], [0, 2])
    """
    if step < 1:
        raise RoleLensError(f"step must be at least 1, got {step}")
    return range(first, vectors.n_layers, step)


@dataclass(frozen=True, eq=False)
class Results:
    """What an analysis found, as tables, and how they were made.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.reporting import Results
        >>> found = Results({"cosines": pd.DataFrame({"layer": [1], "cosine": [0.5]})}, {"seed": 0})
        >>> found.write(folder / "run")
        >>> sorted(file.name for file in (folder / "run").iterdir())
        ['cosines.parquet', 'results.json']
        >>> Results.read(folder / "run").record
        {'seed': 0}
    """

    tables: Mapping[str, pd.DataFrame]
    """Name -> table."""
    record: Mapping[str, Any]
    """How they were made, as JSON values: analysis, settings, model, where the vectors are from,
    versions."""

    @staticmethod
    def of(config: Any, model: Model, vectors: RoleVectors, **tables: pd.DataFrame) -> "Results":
        """Tables, with a record of what made them.

        Args:
            config: the settings, a dataclass defined in a script; the analysis has the script's
                name.
            model: the model that was run.
            vectors: the vectors that were used.
            tables: each under its name.
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
        """Write `<name>.parquet` for each table, and the record as `results.json`.

        Args:
            folder: the run folder; made if there is none.

        Raises:
            RoleLensError: the folder can't be written to.
        """
        write_results(folder, _RECORD, self.tables, self.record)

    @staticmethod
    def read(folder: str | Path) -> "Results":
        """Read what `write` wrote.

        Args:
            folder: the run folder.

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
    """Run an analysis from the command line: compute, unless only drawing is asked for, and draw.

    A folder that holds results of other settings is refused, naming the setting that differs; the
    same analysis goes on there, or is repeated. `--device`, `--out` and `--redraw` can't change
    results, and may differ.

    Args:
        config: a dataclass with a `Setup` as `setup`; its fields are the options.
        run: computes and writes the results; not called if `--redraw` is given.
        draw: makes figures and `report.html` of the results, in the run folder.
        arguments: of the command line; None for those that Python was called with.

    Returns:
        0 if it worked, 2 for input that can't be used, 130 if interrupted, 141 if whoever read the
        output has gone.

    Examples:
        >>> from dataclasses import dataclass
        >>> from role_lens.reporting import Results, Setup, main
        >>> @dataclass
        ... class Config:
        ...     setup: Setup
        >>> arguments = ["--out", "my-analysis"]
        >>> main(Config, lambda config: Results({}, {}), lambda found, folder: None, arguments)
        Written to .../my-analysis: open report.html
        0
    """

    def command() -> None:
        settings = tyro.cli(config, args=arguments, config=(tyro.conf.OmitArgPrefixes,))
        folder = settings.setup.out
        check_folder(folder)
        kept = read_record(folder, _RECORD)
        if kept is not None and kept.get("analysis") != _name(config):
            raise RoleLensError(
                f"{folder} holds the results of {kept.get('analysis')}: choose another folder"
            )
        if settings.setup.redraw:
            results = Results.read(folder)
        else:
            with claimed(folder, _identity(settings)):
                results = run(settings)
        draw(results, folder)
        say(f"Written to {folder.resolve()}: open report.html")

    return reported(command)


def _identity(settings: Any) -> dict[str, Any]:
    """What tells an analysis from others in its folder, as JSON values."""
    found = settings_of(settings, leave_out=_SAME_RESULTS)
    for name in found.keys() & _MAY_BE_PATHS:
        found[name] = _known(found[name], by_content=name != "model")
    return {"run": _name(type(settings)), **found}


def _known(value: Any, *, by_content: bool) -> Any:
    """A setting; if it is a path, then the same however it is written.

    Args:
        by_content: take what is in a file instead of where it is.
    """
    if isinstance(value, list):
        return [_known(one, by_content=by_content) for one in value]
    if not isinstance(value, str) or value == "builtin" or not os.path.exists(value):
        return value
    path = Path(value).resolve()
    return content_hash(read_bytes(path)) if by_content and path.is_file() else str(path)


def _name(config: type[Any]) -> str:
    """The name of the analysis that these are the settings of: its file's."""
    file = getattr(sys.modules[config.__module__], "__file__", None)  # none in a notebook
    return config.__module__ if file is None else Path(file).stem
