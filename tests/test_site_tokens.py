"""The site's coloured tokens, from the tables of a run."""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

from role_lens.reporting import Results

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).parents[1] / "docs" / "tokens.py"


def test_views_are_drawn_from_a_folder(tmp_path):
    spec = importlib.util.spec_from_file_location("site_tokens", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    # MkDocs takes every name of this kind for an event's.
    assert [name for name in vars(module) if name.startswith("on_")] == ["on_files"]
    views = pd.DataFrame(
        [
            ("nurse <i>", "a base prompt", 22, [" ward", "</script>"], [0.5, -2.0]),
            ("cook", "its own", 22, [" salt"], [4.0]),
        ],
        columns=["role", "prompt", "layer", "tokens", "values"],
    )
    Results({"views": views}, {}).write(tmp_path)
    module.draw(module.Config(tmp_path, out=tmp_path / "tokens.html"))
    page = (tmp_path / "tokens.html").read_text("utf-8")
    assert "nurse &lt;i&gt;, layer 22: a base prompt" in page
    assert "[0.5, -2.0]" in page
    assert page.count('"minValue": -4.0') == 2  # one scale
    assert page.count("</script>") == 2  # the page's own
