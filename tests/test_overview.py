"""The README's picture, from the tables of its three runs."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
from matplotlib.image import imread

from role_lens.analysis import Results

SCRIPT = Path(__file__).parents[1] / "docs" / "overview.py"


def test_overview_is_drawn_from_three_folders(tmp_path):
    contrasts = [("base", 0.9), ("roles", 0.7)]
    separable = pd.DataFrame(
        [(c, layer, "nurse", auc) for c, auc in contrasts for layer in (1, 5)],
        columns=["contrast", "layer", "role", "auc"],
    )
    words = pd.DataFrame(
        [(c, layer, "nurse", [" wards", " $2^"]) for c, _ in contrasts for layer in (1, 5)],
        columns=["contrast", "layer", "role", "tokens"],
    )
    Results({"separable": separable}, {}).write(tmp_path / "geometry")
    Results({"words": words}, {}).write(tmp_path / "words")
    columns = ["role", "domain", "in_domain", "add", "low", "high"]
    columns += ["random_low", "random_high", "persona"]
    row = ("nurse", "medicine", True, 0.2, 0.1, 0.4, -0.1, 0.3, -0.2)
    (tmp_path / "verdict").mkdir()
    pd.DataFrame([row], columns=columns).to_parquet(tmp_path / "verdict" / "comparison.parquet")
    out = tmp_path / "overview.png"
    command = [sys.executable, SCRIPT, "--layer", "5", "--out", out]
    command += ["--geometry", tmp_path / "geometry", "--logit-lens", tmp_path / "words"]
    subprocess.run([*command, "--comparison", tmp_path / "verdict"], check=True)
    assert imread(out).std() > 0
