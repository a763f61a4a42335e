"""What analyses have in common: which model and vectors, a folder of results, the command line.

Knows nothing of what is analysed.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import tyro

from role_lens.cli_options import Common, ModelOptions, reported, say
from role_lens.errors import RoleLensError
from role_lens.files import atomic_write, make_folder, read_bytes
from role_lens.fitting import package_versions
from role_lens.models import Model, model_name
from role_lens.prompts import load_prompts, load_roles
from role_lens.role_vectors import RoleVectors

_RECORD = "results.json"


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

    def load_vectors(self, model: Model) -> RoleVectors:
        """The vectors: those named, those kept in `out`, or fitted now and kept there."""
        kept = make_folder(self.out) / "vectors.safetensors"
        if self.vectors is None and not kept.exists():
            fitted = RoleVectors.fit(model, load_roles(*self.prompts), load_prompts(self.base))
            fitted.save(kept)
        vectors = RoleVectors.load(kept if self.vectors is None else self.vectors)
        vectors.check(model)
        return vectors


@dataclass(frozen=True, eq=False)
class Results:
    """What an analysis found, and how."""

    tables: Mapping[str, pd.DataFrame]
    record: Mapping[str, Any]
    """Settings, model and versions, as JSON values."""

    @staticmethod
    def of(config: Any, model: Model, **tables: pd.DataFrame) -> "Results":
        """Tables with the settings that made them.

        Args:
            config: a dataclass.
        """
        settings = json.loads(json.dumps(asdict(config), default=str))
        made = {"settings": settings, "model": model_name(model), "versions": package_versions()}
        return Results(tables, made)

    def write(self, folder: str | Path) -> None:
        """Write `<name>.parquet` for each table, and `results.json`."""
        place = make_folder(folder)
        for name, table in self.tables.items():
            with atomic_write(place / f"{name}.parquet") as temporary:
                table.to_parquet(temporary)
        record = {**self.record, "tables": list(self.tables)}
        with atomic_write(place / _RECORD) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def read(folder: str | Path) -> "Results":
        """What `write` wrote.

        Raises:
            RoleLensError: there are no results in the folder, or they are damaged.
        """
        place = Path(folder)
        if not (place / _RECORD).exists():
            raise RoleLensError(f"{place} holds no results to draw: run the analysis first")
        try:
            record = json.loads(read_bytes(place / _RECORD))
            names = record.pop("tables")
            tables = {name: pd.read_parquet(place / f"{name}.parquet") for name in names}
        except (ValueError, KeyError, OSError) as error:
            raise RoleLensError(f"the results in {place} are damaged: {error}") from error
        return Results(tables, record)


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
        As `role_lens.cli.main`.
    """

    def command() -> None:
        settings = tyro.cli(config, args=arguments, config=(tyro.conf.OmitArgPrefixes,))
        folder = settings.setup.out
        draw(Results.read(folder) if settings.setup.redraw else run(settings), folder)
        say(f"Written to {folder.resolve()}: open report.html")

    return reported(command)
