"""The null band of a sweep: random directions at every candidate's place."""

import pytest
import torch
from tiny import QUIET

from role_lens import Grid, Question, RoleLensError, sweep
from role_lens.experiments import rotated, sweep_random
from role_lens.scoring import Asker

QUESTIONS = [
    Question(str(i), text, ("ink", "oil", "egg"), i % 3, "d", "d")
    for i, text in enumerate(["Pen?", "Pan?", "Hen?", "Quill?"])
]
GRID = Grid(roles=("poet",), positions=(-1,), kinds=("add", "ablate"))


@pytest.fixture
def asked(llama):
    return Asker(llama, compute=QUIET).ask(QUESTIONS)


def test_each_number_is_a_sweep_of_a_rotation(llama, vectors, asked, tmp_path):
    table = sweep_random(asked, vectors, tmp_path, GRID, 2, seed=3)
    assert sorted(set(table["number"])) == [0, 1]
    assert "none" not in set(table["kind"])
    turned = rotated(vectors, seed=3_000_001)
    lengths = turned.directions("base").norm(dim=-1)
    torch.testing.assert_close(lengths, vectors.directions("base").norm(dim=-1))
    alone = sweep(llama, turned, QUESTIONS, tmp_path / "alone", GRID, compute=QUIET).iloc[1:]
    again = table[table["number"] == 1].drop(columns="number").reset_index(drop=True)
    assert again.equals(alone.reset_index(drop=True))
    first = table[table["number"] == 0]
    assert not (first["effect"].to_numpy() == again["effect"].to_numpy()).any()
    more = sweep_random(asked, vectors, tmp_path, GRID, 3, seed=3)
    assert more[more["number"] < 2].equals(table)


def test_a_null_band_of_nothing_is_refused(vectors, asked, tmp_path):
    with pytest.raises(RoleLensError, match="n must be at least 1, got 0"):
        sweep_random(asked, vectors, tmp_path, GRID, 0)
    assert not list(tmp_path.iterdir())
