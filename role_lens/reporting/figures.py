"""Draws figures from tables, as PNG files.

    plot_comparison(table, "verdict.png")

Functions that begin with `plot` write a file; `draw_excess`, `heat_map` and `label_points` draw
into a figure of your own.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy import ndarray

from role_lens.experiments.judging.verdicts import BOUND
from role_lens.files import atomic_write


class _Styles(dict[str, dict[str, str]]):
    def __missing__(self, contrast: str) -> dict[str, str]:
        """Of a contrast that another finder gives."""
        return {"color": "#5b9e6f", "linestyle": "-.", "label": f"contrast {contrast}"}


CONTRAST_STYLE = _Styles(
    {
        "base": {"color": "#1f3b73", "linestyle": "-", "label": "contrast base"},
        "roles": {"color": "#d9822b", "linestyle": "--", "label": "contrast roles"},
    }
)
"""Contrast -> how its lines are drawn. They differ in line style and lightness too, and so can
be told apart in greyscale."""

_SHADES = ("#1f3b73", "#a9bcd8", "#d9822b", "#5b9e6f")
OUTLINED = [withStroke(linewidth=2, foreground="white")]
"""Path effects for black text and lines on dark colours: a white outline."""


def plot_by_layer(table: pd.DataFrame, path: str | Path, *, position: int) -> None:
    """Draw separability and mean cosine by layer, a line for each contrast.

    Args:
        table: as `role_lens.reading.geometry_by_layer` returns it.
        path: the PNG file.
        position: the token position that is shown.

    Examples:
        >>> from role_lens.reading import geometry_by_layer
        >>> from role_lens.reporting import plot_by_layer
        >>> plot_by_layer(geometry_by_layer(vectors), folder / "by_layer.png", position=-1)
        >>> (folder / "by_layer.png").exists()
        True
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for contrast, part in table[table["position"] == position].groupby("contrast"):
        left.plot(part["layer"], part["auc"], **CONTRAST_STYLE[str(contrast)])
        right.plot(part["layer"], part["mean_cosine"], **CONTRAST_STYLE[str(contrast)])
    left.axhline(0.5, color="grey", linewidth=0.8, label="chance")
    left.set(title="Separable? (held-out prompts)", ylabel="AUC, mean over roles", ylim=(0.4, 1.02))
    right.axhline(0, color="grey", linewidth=0.8)
    right.set(title="Alike?", ylabel="cosine, mean over pairs of roles", ylim=(-0.2, 1.02))
    for axis in (left, right):
        axis.set_xlabel(f"layer (position {position})")
        axis.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def plot_cosines(cosines: Mapping[str, pd.DataFrame], path: str | Path) -> None:
    """Draw tables of cosines as heat maps, side by side.

    Args:
        cosines: title -> table, with roles as index and columns.
        path: the PNG file.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.reporting import plot_cosines
        >>> table = pd.DataFrame([[1.0, 0.4], [0.4, 1.0]], ["poet", "cook"], ["poet", "cook"])
        >>> plot_cosines({"layer 1": table}, folder / "cosines.png")
        >>> (folder / "cosines.png").exists()
        True
    """
    figure = Figure(figsize=(6.5 * len(cosines), 6), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(cosines)))
    for axis, (title, table) in zip(axes, cosines.items(), strict=True):
        names = list(table.index)
        image = heat_map(axis, table.to_numpy(dtype=float), names, list(table.columns), largest=1.0)
        axis.set_title(title)
    figure.colorbar(image, ax=axes.tolist(), label="cosine", shrink=0.7)
    save_figure(figure, path)


def plot_scores(summary: pd.DataFrame, path: str | Path) -> None:
    """Draw the accuracy of each patch with its standard error, beside chance.

    Args:
        summary: one row per patch and scoring:
            `patch, scoring, accuracy, chance, n`, as `summarize` returns them.
        path: the PNG file.

    Examples:
        >>> from role_lens.reporting import plot_scores
        >>> table = evaluate(model, questions, {"baseline": None}, compute=Compute(progress=False))
        >>> plot_scores(summarize(table).assign(scoring="letter"), folder / "scores.png")
        >>> (folder / "scores.png").exists()
        True
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis = figure.subplots()
    patches = list(dict.fromkeys(summary["patch"]))
    scorings = list(dict.fromkeys(summary["scoring"]))
    width = 0.8 / len(scorings)
    for shift, (scoring, shade) in enumerate(zip(scorings, itertools.cycle(_SHADES), strict=False)):
        part = summary[summary["scoring"] == scoring].set_index("patch").loc[patches]
        error = np.sqrt(part["accuracy"] * (1 - part["accuracy"]) / part["n"])
        places = np.arange(len(patches)) + (shift - (len(scorings) - 1) / 2) * width
        axis.bar(places, part["accuracy"], width, yerr=error, color=shade, label=scoring)
    axis.axhline(float(summary["chance"].mean()), color="black", linestyle=":", label="chance")
    axis.set_xticks(range(len(patches)), patches)
    axis.set(ylabel="accuracy (± 1 standard error)", ylim=(0, 1))
    axis.legend(frameon=False)
    save_figure(figure, path)


def plot_comparison(table: pd.DataFrame, path: str | Path, *, bound: float = BOUND) -> None:
    """Draw how much more than random directions each role does in its own domain.

    A point is the effect of the addition minus the mean effect of the role's random directions, a
    line its 90 % interval. In the grey strip lies what is no difference.

    Args:
        table: as `role_lens.compare` returns it.
        path: the PNG file.
        bound: what is smaller is no difference: that of the comparison's plan.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.reporting import plot_comparison
        >>> row = {"role": "poet", "domain": "verse", "in_domain": True, "excess": 0.1}
        >>> row |= {"excess_low": 0.0, "excess_high": 0.2}
        >>> plot_comparison(pd.DataFrame([row]), folder / "verdict.png")
        >>> (folder / "verdict.png").exists()
        True
    """
    own = table[table["in_domain"] & table["excess"].notna()]
    figure = Figure(figsize=(8, 1.5 + 0.27 * len(own)), layout="constrained")
    axis = figure.subplots()
    names = list(own["role"] + " (" + own["domain"] + ")")
    draw_excess(axis, own, names=names, bound=bound)
    save_figure(figure, path)


def draw_excess(
    axis: Axes, own: pd.DataFrame, *, names: Sequence[str], bound: float = BOUND
) -> None:
    """Draw excesses over random directions into an axis as `plot_comparison` does.

    Args:
        axis: of a figure of your own.
        own: rows of a comparison's table: `excess, excess_low, excess_high`, in margins.
        names: of the rows.
        bound: what is smaller is no difference.

    Examples:
        >>> import pandas as pd
        >>> from matplotlib.figure import Figure
        >>> from role_lens.reporting import draw_excess
        >>> axis = Figure().subplots()
        >>> row = {"excess": 0.1, "excess_low": 0.0, "excess_high": 0.2}
        >>> draw_excess(axis, pd.DataFrame([row]), names=["poet"])
        >>> [text.get_text() for text in axis.get_yticklabels()]
        ['poet']
    """
    rows = np.arange(len(own))
    axis.axvspan(-bound, bound, color="#e8e8e8", label=f"no difference (± {bound:g})")
    axis.axvline(0, color="black", linewidth=0.8)
    ends = own["excess"] - own["excess_low"], own["excess_high"] - own["excess"]
    axis.errorbar(
        own["excess"],
        rows,
        xerr=np.stack(ends),
        fmt="o",
        markersize=5,
        elinewidth=1.2,
        color="#1f3b73",
        label="role vector minus random directions, 90 % interval",
    )
    axis.set_yticks(rows, names, fontsize=8)
    axis.set_ylim(len(own) - 0.4, -0.6)
    axis.set_xlabel("change of the margin on held-out questions, role minus random")
    axis.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def plot_transfer(
    effects: pd.DataFrame,
    path: str | Path,
    *,
    kinds: Mapping[str, str],
    value: str,
    label: str,
    level: float | None = None,
) -> None:
    """Draw effects of every role on every domain as heat maps.

    There is one for each kind of condition; each role's own domain has a box around it.

    Args:
        effects: as `role_lens.experiments.judge` returns them.
        path: the PNG file.
        kinds: kind of condition -> the title of its heat map.
        value: the column that is shown.
        label: what this column is called in the figure.
        level: + and – mark effects above and below zero whose adjusted p is at most this; None for
            no marks.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.reporting import plot_transfer
        >>> effects = pd.DataFrame({"role": "poet", "domain": ["verse", "food"], "kind": "add"})
        >>> effects = effects.assign(in_domain=[True, False], effect=[0.2, -0.1])
        >>> file, titles = folder / "transfer.png", {"add": "role vector added"}
        >>> plot_transfer(effects, file, kinds=titles, value="effect", label="margin")
        >>> file.exists()
        True
    """
    effects = effects[effects["role"].notna()]  # some controls are the same for all roles
    own = effects[effects["in_domain"]].drop_duplicates("role")
    homes = own.sort_values(["domain", "role"]).set_index("role")["domain"]
    roles = list(homes.index)
    domains = sorted(set(effects["domain"]), key=lambda name: (name not in set(homes), name))

    def matrix(part: pd.DataFrame, column: str) -> Float[ndarray, "role domain"]:
        wide = part.pivot(index="role", columns="domain", values=column)
        return wide.reindex(index=roles, columns=domains).to_numpy(dtype=float)

    size = 2.5 + 0.5 * len(domains) * len(kinds), 2.4 + 0.2 * len(roles)
    figure = Figure(figsize=size, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(kinds), sharey=True))
    parts = {kind: effects[effects["kind"] == kind] for kind in kinds}
    largest = max(float(part[value].abs().max()) for part in parts.values()) or 1.0
    for axis, (kind, title) in zip(axes, kinds.items(), strict=True):
        part = parts[kind]
        image = heat_map(axis, matrix(part, value), roles, domains, largest=largest)
        axis.set_title(title, fontsize=10)
        for row, role in enumerate(roles):
            corner = domains.index(homes[role]) - 0.5, row - 0.5
            box = Rectangle(corner, 1, 1, fill=False, edgecolor="black", path_effects=OUTLINED)
            axis.add_patch(box)
        if level is not None:
            for mark, column in (("+", "p_helps_adjusted"), ("–", "p_hurts_adjusted")):
                for row, at in zip(*np.nonzero(matrix(part, column) <= level), strict=True):
                    style = {"fontsize": 8, "path_effects": OUTLINED}
                    axis.text(at, row, mark, ha="center", va="center", **style)
    figure.colorbar(image, ax=axes.tolist(), label=label, shrink=0.6)
    save_figure(figure, path)


def heat_map(
    axis: Axes,
    matrix: Float[ndarray, "row column"],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    largest: float | None = None,
) -> AxesImage:
    """Draw a matrix in colours that are symmetric about zero.

    Dark blue is below zero, grey at it, yellow above, and lighter all the way up, so that the sign
    can be told in greyscale too. What is NaN is hatched.

    Args:
        axis: of a figure of your own.
        matrix: the numbers.
        rows: names of the rows.
        columns: names of the columns. If one has more than three letters all are turned; else, as
            with numbers, only about ten are shown.
        largest: the absolute value at which the colours end; None for the largest in the matrix.

    Returns:
        The image, for a colour bar.

    Examples:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from role_lens.reporting import heat_map
        >>> image = heat_map(Figure().subplots(), np.array([[0.5, -2.0]]), ["poet"], ["1", "2"])
        >>> image.get_clim()
        (-2.0, 2.0)
    """
    end = float(np.nanmax(np.abs(matrix))) if largest is None else largest
    axis.patch.set(facecolor="white", hatch="////", edgecolor="#999999")
    image = axis.imshow(matrix, cmap="cividis", vmin=-end, vmax=end, aspect="auto")
    turned = max(map(len, columns)) > 3
    step = 1 if turned else max(1, len(columns) // 10)
    axis.set_xticks(range(0, len(columns), step), columns[::step], rotation=90 * turned, fontsize=7)
    axis.set_yticks(range(len(rows)), rows, fontsize=7)
    return image


def label_points(axis: Axes, points: Float[ndarray, "point 2"], names: Sequence[str]) -> None:
    """Write names beside points, on whichever side keeps them off other points and names.

    It is to be called last, since it takes the figure's layout as it is.

    Args:
        axis: of a figure of your own, with the points drawn.
        points: in the axis's own coordinates.
        names: one for each point.

    Examples:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from role_lens.reporting import label_points
        >>> axis = Figure().subplots()
        >>> label_points(axis, np.array([[0.5, 0.5], [0.51, 0.5]]), ["poet", "cook"])
        >>> [text.get_text() for text in axis.texts]
        ['poet', 'cook']
    """
    figure = axis.get_figure()
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    places = axis.transData.transform(points)
    taken = [Bbox([place - 4, place + 4]) for place in places]
    sides = list(itertools.product((("left", 1), ("right", -1)), (("bottom", 1), ("top", -1))))
    for name, at in zip(names, points, strict=True):
        tried: list[tuple[int, int, Text, Bbox]] = []
        for (across, right), (along, up) in sides:
            text = axis.annotate(
                name,
                at,
                fontsize=6.5,
                xytext=(3 * right, 2 * up),
                textcoords="offset points",
                ha=across,
                va=along,
            )
            box = text.get_window_extent()
            tried.append((box.count_overlaps(taken), len(tried), text, box))
        _, _, chosen, box = min(tried, key=lambda one: one[:2])
        taken.append(box)
        for _, _, other, _ in tried:
            if other is not chosen:
                other.remove()


def save_figure(figure: Figure, path: str | Path) -> None:
    r"""Write a figure as PNG, whole or not at all; dollar signs in names make no formulas.

    Args:
        figure: a figure of matplotlib.
        path: the file; its folder is made if there is none.

    Raises:
        RoleLensError: the file can't be written.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> from role_lens.reporting import save_figure
        >>> save_figure(Figure(figsize=(1, 1)), folder / "figures" / "empty.png")
        >>> (folder / "figures" / "empty.png").read_bytes()[:4]
        b'\x89PNG'
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
