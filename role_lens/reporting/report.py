"""Writes a page of results that opens without a network: one file, with figures and scripts in it.

    report = Report("Geometry", "How alike are the directions?", record)
    report.table(table, "Cosines.")
    report.write("report.html")

Everything that is put into it is shown as text, whatever it holds.
"""

import base64
import importlib.resources
import json
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from role_lens.files import as_path, atomic_write, read_bytes
from role_lens.reading.token_view import TokenView, circuitsvis_script
from role_lens.reporting.provenance import readable


class Report:
    """A page with figures, tables and coloured tokens, in the order in which they are added.

    Args:
        title: of the page.
        question: what the page answers.
        record: how its results were made, as in `Results`; shown at the end.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.reporting import Report
        >>> report = Report("Geometry", "How alike are the directions?", {"seed": 0})
        >>> report.table(pd.DataFrame({"layer": [1], "cosine": [0.51234]}), "Mean over roles.")
        >>> report.write(folder / "report.html")
        >>> "0.512" in (folder / "report.html").read_text()
        True
    """

    def __init__(self, title: str, question: str, record: Mapping[str, Any]) -> None:
        quick = bool(record.get("settings", {}).get("setup", {}).get("quick"))
        self._head = {"title": title, "question": question, "quick": quick}
        vectors = record.get("vectors")
        shown = {**record, "vectors": readable(vectors)} if vectors else record
        self._record = json.dumps(shown, indent=1, default=str, ensure_ascii=False)
        self._parts: list[dict[str, Any]] = []

    def figure(self, path: str | Path, caption: str) -> None:
        """Add a figure.

        Args:
            path: a PNG file, which is copied into the page.
            caption: also describes the figure to those who don't see it.
        """
        data = base64.b64encode(read_bytes(as_path(path))).decode()
        self._parts.append({"kind": "figure", "text": caption, "data": data})

    def table(self, table: pd.DataFrame, caption: str = "") -> None:
        """Add a table, with numbers to three digits.

        Args:
            table: shown without its index.
            caption: what it shows.
        """
        rows = [[_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
        self._parts.append(
            {"kind": "table", "text": caption, "columns": list(table.columns), "rows": rows}
        )

    def tokens(self, view: TokenView, caption: str, largest: float | None = None) -> None:
        """Add coloured tokens.

        Args:
            view: such as `role_lens.reading.project_tokens` gives.
            caption: what it shows.
            largest: the absolute value that has full colour, as for `TokenView.html`.
        """
        self._parts.append({"kind": "tokens", "text": caption, "html": view.html(largest)})

    def write(self, path: str | Path) -> None:
        """Write the page, whole or not at all.

        Args:
            path: the HTML file.

        Raises:
            RoleLensError: the file can't be written.
        """
        source = importlib.resources.files("role_lens.reporting") / "report.html"
        template = jinja2.Environment(autoescape=True).from_string(source.read_text("utf-8"))
        drawn = any(part["kind"] == "tokens" for part in self._parts)
        page = template.render(
            **self._head,
            parts=self._parts,
            record=self._record,
            script=circuitsvis_script() if drawn else "",
        )
        with atomic_write(Path(path)) as temporary:
            # Lone surrogates, which models may write, have no UTF-8.
            temporary.write_bytes(page.encode("utf-8", "replace"))


def _cell(value: Any) -> dict[str, Any]:
    number = isinstance(value, Real) and not isinstance(value, bool)  # numpy's are Real too
    if value is None or value is pd.NA or (number and value != value):
        return {"text": "–", "number": False}
    # Counts are whole, also where a column with gaps holds them as floats.
    whole = number and (isinstance(value, Integral) or (abs(value) >= 1000 and value % 1 == 0))
    text = str(value) if not number else f"{int(value)}" if whole else f"{value:.3g}"
    return {"text": text, "number": number}
