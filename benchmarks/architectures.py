"""On which architectures does the package give what transformers gives?

    python benchmarks/architectures.py

Tiny models of many families of decoders, with random weights, are fitted, steered and scored, and
the same is computed with transformers alone (`by_hand`). A table says where the two agree. Eight
minutes on two cores.
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
    (config.out / "architectures.md").write_text(table.to_markdown(index=False) + "\n")
    words = table.drop(columns=["family", "notes", "replayed"], errors="ignore")
    print(f"{len(table)} families, {int(words.eq('ok').all(axis=1).sum())} of them in all")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
