"""On which architectures does the package give what transformers gives?

    python benchmarks/architectures.py

Tiny models of many families of decoders, with random weights, are fitted, steered and scored, and
the same is computed with transformers alone (`by_hand`). A table says where the two agree. Less
than eight minutes on two cores.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import tyro
from agreement import tried
from tiny_families import FAMILIES


@dataclass(frozen=True)
class Config:
    """Settings of the table."""

    families: tuple[str, ...] = tuple(FAMILIES)
    """Which families, by the names that transformers gives their configurations."""
    workers: int = os.cpu_count() or 1
    """How many families to try at once."""
    out: Path = Path("role-lens-architectures")
    """Folder for the table, as architectures.csv and architectures.md."""


def main(config: Config) -> None:
    """Try the families, print and write."""
    rows = []
    with ProcessPoolExecutor(
        config.workers, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for row in pool.map(tried, config.families):
            print(*row.values(), sep="  ", flush=True)
            rows.append(row)
    table = pd.DataFrame(rows).fillna("")
    config.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(config.out / "architectures.csv", index=False)
    (config.out / "architectures.md").write_text(as_markdown(table), "utf-8")


def as_markdown(table: pd.DataFrame) -> str:
    """The words as a table, and the notes as a list after it."""
    agree = table.drop(columns=["family", "notes", "replayed"], errors="ignore").eq("ok")
    lines = [
        f"{int(agree.all(axis=1).sum())} of {len(table)} agree in everything.",
        "",
        table.drop(columns="notes").to_markdown(index=False),
        "",
    ]
    told = table[table["notes"] != ""]
    lines += [f"- `{row.family}`: {row.notes}" for row in told.itertuples()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
