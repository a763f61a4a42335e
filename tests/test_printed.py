"""What pages say is printed is what the packaged model prints."""

import re
import shutil
from pathlib import Path

import pytest

import role_lens
from role_lens import RoleVectors

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "tour.md",
    ROOT / "docs" / "analyses" / "layer-sweep.md",
]
CODE = re.compile(r"^```python\n(.*?)^```(?:\n\n(?:prints\n\n)?```text\n(.*?)^```)?", re.M | re.S)
TAKES_MINUTES = re.compile(r"\bcompare\(")  # run on a stand-in, where its figures mean nothing

pytestmark = [pytest.mark.packaged, pytest.mark.long]


def parsed(text):
    """Words and numbers, however they are wrapped."""
    found = []
    for word in text.split():
        try:
            found.append(float(word))
        except ValueError:
            found.append(word)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_show_what_is_printed(page, packaged, fitted, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(fitted, "roles.safetensors")
    # Patched because every page loads the same model and fits the same vectors: minutes each time.
    monkeypatch.setattr(role_lens, "load_model", lambda name: packaged)
    monkeypatch.setattr(RoleVectors, "fit", lambda *args, **options: RoleVectors.load(fitted))
    names = {}
    checked = 0
    for code, shown in CODE.findall(page.read_text("utf-8")):
        if TAKES_MINUTES.search(code):
            continue
        capsys.readouterr()
        exec(compile(code, page.name, "exec"), names)
        if shown:
            printed = parsed(capsys.readouterr().out)
            assert printed == pytest.approx(parsed(shown), abs=0.0051), code
            checked += 1
    assert checked
