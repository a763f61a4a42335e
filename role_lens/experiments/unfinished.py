"""Score those cells of a folder that are not finished yet.

Knows how to go through candidates, not what they are.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import pandas as pd
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from role_lens.experiments.store import CellFolder
from role_lens.scoring.engine import Scorer, in_chunks

Cell = TypeVar("Cell", bound=Hashable)


def score_unfinished(
    folder: CellFolder,
    scorer: Scorer,
    keys: Mapping[Cell, str],
    *,
    n_layers: int,
    shape: Callable[[Cell], tuple[int, Hashable]],
    make: Callable[[Cell], Any],
    table: Callable[[Cell, Float[Tensor, "item choice"]], pd.DataFrame],
    progress: bool,
) -> None:
    """Score cells and write them to the folder, part by part.

    Args:
        keys: of each cell its content key.
        shape: a cell's first layer, and what it must share with others of a batch.
        make: what the scorer takes for it: its patches.
        table: its rows, from the log-likelihoods of the choices.
    """
    finished = folder.finished()
    shapes = {cell: shape(cell) for cell in keys}
    # A block is the unit of progress, so that the time left is right: early layers take longest.
    cost = {cell: n_layers - first for cell, (first, _) in shapes.items()}
    with tqdm(
        desc=f"{len(keys)} candidates",
        total=sum(cost.values()),
        initial=sum(cost[cell] for cell, key in keys.items() if key in finished),
        disable=not progress,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left",
    ) as bar:
        # The division depends on the cells, the questions and the model, not on what is finished.
        order = list(keys)
        for chunk in in_chunks(scorer, [shapes[cell] for cell in order]):
            pending = [order[i] for i in chunk if keys[order[i]] not in finished]
            if pending:
                scores = scorer.logprobs([make(cell) for cell in pending])
                tables = {
                    keys[cell]: table(cell, one) for cell, one in zip(pending, scores, strict=True)
                }
                folder.add(tables)
                bar.update(sum(cost[cell] for cell in pending))
