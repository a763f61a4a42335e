"""Coloured tokens on the site: views from the results of a run, and the script that draws them.

    python analyses/logit_lens.py --out logit-lens --shown lawyer nurse
    python docs/tokens.py --logit-lens logit-lens

The site's own copy of the script comes from the installed CircuitsVis when the site is built.
"""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from role_lens.reading import circuitsvis_script, views_on_one_scale
from role_lens.reporting import Results


@dataclass(frozen=True)
class Config:
    """Where the results are."""

    logit_lens: Path = Path("logit-lens")
    """Folder of the analysis."""
    out: Path = Path(__file__).parent / "figures" / "logit-lens-tokens.html"
    """File that is written."""


def draw(config: Config) -> None:
    """Every view of the results, one after the other, on one scale."""
    rows = list(Results.read(config.logit_lens).tables["views"].itertuples())
    views, largest = views_on_one_scale([(row.tokens, row.values) for row in rows])
    shown = [
        f"<p>{html.escape(row.role)}, layer {row.layer}: {html.escape(row.prompt)}</p>\n"
        f"{view.html(largest)}"
        for row, view in zip(rows, views, strict=True)
    ]
    config.out.write_text("\n".join(shown) + "\n", encoding="utf-8")


def on_files(files: Any, config: Any) -> None:
    """A hook of MkDocs: the script is one of the site's files."""
    from mkdocs.structure.files import File  # needed to build the site, not to draw

    files.append(File.generated(config, "circuitsvis.js", content=circuitsvis_script()))


if __name__ == "__main__":
    draw(tyro.cli(Config))
