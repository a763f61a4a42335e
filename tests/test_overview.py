"""The README's picture, from the tables of its three runs."""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from role_lens.reporting import Results

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).parents[1] / "docs" / "overview.py"


def script():
    spec = importlib.util.spec_from_file_location("overview", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def test_overview_is_drawn_from_three_folders(tmp_path, monkeypatch):
    contrasts = [("base", 0.9), ("roles", 0.7)]
    separable = pd.DataFrame(
        [(c, layer, "nurse", auc) for c, auc in contrasts for layer in (1, 5)],
        columns=["contrast", "layer", "role", "auc"],
    )
    words = pd.DataFrame(
        [
            ("base", 5, "nurse", ["other contrast"]),
            ("roles", 1, "nurse", ["other layer"]),
            ("roles", 5, "nurse", [" wards", " $2^"]),
        ],
        columns=["contrast", "layer", "role", "tokens"],
    )
    Results({"separable": separable}, {}).write(tmp_path / "geometry")
    Results({"words": words}, {}).write(tmp_path / "words")
    columns = ["role", "domain", "in_domain", "excess", "excess_low", "excess_high"]
    row = ("nurse", "medicine", True, 0.2, 0.1, 0.4)
    (tmp_path / "verdict").mkdir()
    pd.DataFrame([row], columns=columns).to_parquet(tmp_path / "verdict" / "comparison.parquet")
    module, saved, write = script(), [], Figure.savefig

    def look(figure, *args, **options):
        saved.append(figure)
        write(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", look)
    folders = (tmp_path / name for name in ("geometry", "words", "verdict"))
    module.draw(module.Config(*folders, out=tmp_path / "overview.png", layer=5))
    assert (tmp_path / "overview.png").read_bytes()[:4] == b"\x89PNG"
    found, _, judged = saved[0].axes
    assert [list(line.get_ydata()) for line in found.lines[:2]] == [[0.9, 0.9], [0.7, 0.7]]
    texts = [text.get_text() for text in saved[0].findobj(Text)]
    assert {"nurse", "“wards”  “$2^”"} <= set(texts)
    assert [text.get_text() for text in judged.get_yticklabels()] == ["nurse"]
    module.draw(
        module.Config(tmp_path / "geometry", tmp_path / "words", None, tmp_path / "o.png", 5)
    )
    assert len(saved[1].axes) == 2  # without a verdict
    assert judged.containers[0].lines[0].get_xdata(orig=False) == [0.2]
