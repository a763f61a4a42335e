"""The pinned versions install on every Python that the package says it runs on."""

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOWEST = PROJECT["requires-python"].removeprefix(">=")


def installed_pins():
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        name, _, version = line.partition("==")
        try:
            found = metadata.metadata(name)
        except metadata.PackageNotFoundError:  # of an extra, or a comment
            continue
        if found.get("Version") == version:
            yield line, found.get("Requires-Python")


def test_the_lowest_python_takes_all_pins():
    pins = list(installed_pins())
    assert len(pins) > 100
    refused = [pin for pin, takes in pins if takes and f"{LOWEST}.0" not in SpecifierSet(takes)]
    assert not refused


def test_pages_name_the_lowest_python():
    for page in ("Makefile", "README.md", "docs/index.md"):
        assert f"{LOWEST} or later" in (ROOT / page).read_text("utf-8")
