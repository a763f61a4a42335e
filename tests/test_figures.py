"""What is drawn, taken from the figure before it is saved."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from role_lens.reporting import figures


@pytest.fixture
def saved(monkeypatch):
    kept = []
    # The figure itself is looked at, before it becomes a PNG.
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: kept.append(figure))
    return kept


def test_transfer_map_shows_each_role_at_its_domains(saved):
    columns = ["role", "domain", "in_domain", "kind", "effect", "helps", "hurts"]
    rows = [
        ("nurse", "medicine", True, "add", 0.3, 0.01, 1.0),
        ("nurse", "law", False, "add", -0.2, 1.0, 0.02),
        ("judge", "law", True, "add", 0.1, 0.2, 1.0),
        ("judge", "chess", False, "add", -0.4, 1.0, 0.3),
    ]
    effects = pd.DataFrame(rows, columns=columns)
    effects = effects.rename(columns={side: f"p_{side}_adjusted" for side in ("helps", "hurts")})
    persona = effects.assign(kind="persona", effect=0.05)
    figures.plot_transfer(
        pd.concat([effects, persona]).sample(frac=1, random_state=0),
        "unused.png",
        kinds={"add": "added", "persona": "asked"},
        value="effect",
        label="nats",
        level=0.05,
    )
    left, right, _ = saved[0].axes
    nan = np.nan  # the order: roles by their domain; own domains, then others
    np.testing.assert_array_equal(
        left.images[0].get_array().filled(nan), [[0.1, nan, -0.4], [-0.2, 0.3, nan]]
    )
    assert [text.get_text() for text in left.get_yticklabels()] == ["judge", "nurse"]
    assert [text.get_text() for text in left.get_xticklabels()] == ["law", "medicine", "chess"]
    boxes = [patch.get_xy() for patch in left.patches]
    assert boxes == [(-0.5, -0.5), (0.5, 0.5)]
    marks = {text.get_position(): text.get_text() for text in left.texts}
    assert marks == {(1, 1): "+", (0, 1): "–"}
    ends = {image.get_clim() for axis in (left, right) for image in axis.images}
    assert ends == {(-0.4, 0.4)}


def test_comparison_shows_the_excess_and_interval_of_each_role(saved):
    columns = ["role", "domain", "in_domain", "excess", "excess_low", "excess_high"]
    rows = [
        ("nurse", "medicine", True, 0.2, 0.1, 0.4),
        ("nurse", "law", False, 0.9, 0.8, 1.0),
        ("judge", "law", True, np.nan, np.nan, np.nan),
        ("clerk", "law", True, -0.3, -0.5, -0.2),
    ]
    figures.plot_comparison(pd.DataFrame(rows, columns=columns), "unused.png")
    axis = saved[0].axes[0]
    labels = [text.get_text() for text in axis.get_yticklabels()]
    assert labels == ["nurse (medicine)", "clerk (law)"]
    points, errors = axis.containers[0].lines[0], axis.containers[0].lines[2][0]
    np.testing.assert_allclose(points.get_xdata(orig=False), [0.2, -0.3])
    ends = [segment[:, 0] for segment in errors.get_segments()]
    np.testing.assert_allclose(ends, [[0.1, 0.4], [-0.5, -0.2]])


def test_dollar_signs_in_names_are_no_formulas(tmp_path):
    names = ["$\\frac$", "from $5 to $6^", "€"]
    figure = figures.Figure()
    axis = figure.subplots()
    figures.heat_map(axis, np.eye(3), names, names)
    axis.set_title("$\\frac$")
    figures.save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"


def test_names_stand_apart():
    """Three points so near that names on one side of them would lie on each other."""
    figure = Figure(figsize=(4, 4))
    axis = figure.subplots()
    axis.set(xlim=(0, 1), ylim=(0, 1))
    points = np.array([[0.5, 0.5], [0.51, 0.5], [0.5, 0.51]])
    figures.label_points(axis, points, ["physician", "economist", "geneticist"])
    assert [text.get_text() for text in axis.texts] == ["physician", "economist", "geneticist"]
    boxes = [text.get_window_extent() for text in axis.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_what_is_no_difference_is_a_strip():
    row = {"excess": 0.0, "excess_low": -0.05, "excess_high": 0.05}
    axis = Figure().subplots()
    figures.draw_excess(axis, pd.DataFrame([row]), names=["nurse"], bound=0.3)
    assert axis.patches[0].get_extents().transformed(axis.transData.inverted()).x0 == -0.3
    assert axis.get_xlim()[0] < -0.3
