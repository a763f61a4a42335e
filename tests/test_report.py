import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch

from role_lens import Patch, RoleLensError, activations_at, encode_chat
from role_lens.reading import TokenView, circuitsvis_script, project_tokens, views_on_one_scale
from role_lens.reporting import Report, plot_scores

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</td></table><img src=x onerror=alert(3)>",
    "\" onload='alert(4)' \u202e gnisrever \u2028 {{ 7 * 7 }} {% raw %}",
    "<!-- & --> ]]> \x00 \ud800",
    "long " * 20_000,
]


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.texts, self.sources = ["page"], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        named = dict(attributes)
        assert not any(name.startswith("on") for name in named), named
        self.sources += [named[name] for name in ("src", "href") if name in named]

    def handle_data(self, data):
        (self.scripts if self.tags[-1] == "script" else self.texts).append(data)


def page(report, tmp_path):
    report.write(tmp_path / "report.html")
    seen = Seen()
    seen.feed((tmp_path / "report.html").read_text("utf-8"))
    return seen


def test_hostile_text_stays_text(tmp_path):
    report = Report(HOSTILE[0], HOSTILE[1], {"prompt": HOSTILE})
    texts = pd.Series(HOSTILE, dtype=object)
    report.table(pd.DataFrame({HOSTILE[2]: texts, "n": range(6)}), HOSTILE[3])
    plain = page(report, tmp_path)
    assert "script" not in plain.tags
    assert "img" not in plain.tags
    assert any("{{ 7 * 7 }}" in text for text in plain.texts)
    report.tokens(TokenView(tuple(HOSTILE), (1.0, -2.0, 0.0, 0.5, 0.1, 3.0)), HOSTILE[4])
    drawn = page(report, tmp_path)
    assert drawn.tags.count("script") == 2  # CircuitsVis, and the call
    assert not [text for text in drawn.scripts[1:] if "alert" in text and "u003c" not in text]
    call = drawn.scripts[-1]
    shown = json.loads(re.search(r"ColoredTokens, (.*)\)$", call, re.DOTALL)[1])
    # CircuitsVis puts tokens into the page as HTML: `<` and `&` must not begin anything.
    assert [token.replace("\u2060", "") for token in shown["tokens"]] == HOSTILE
    assert not [token for token in shown["tokens"] if re.search("[<&](?!\u2060)", token)]
    assert shown["maxValue"] == -shown["minValue"] == 3.0


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    report = Report("t", "q", {})
    report.write(tmp_path / "report.html")
    with pytest.raises(RoleLensError, match=r"can't write .*report\.html/inside"):
        report.write(tmp_path / "report.html" / "inside")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_views_on_one_scale():
    views, largest = views_on_one_scale([(["a", "b"], [0.5, -2.0]), (["c"], [1.0])])
    assert views == [TokenView(("a", "b"), (0.5, -2.0)), TokenView(("c",), (1.0,))]
    assert largest == 2.0
    assert '"maxValue": 2.0' in views[1].html(largest)
    assert '"maxValue": 1.0' in views[1].html()
    assert views_on_one_scale([]) == ([], 0.0)


def test_nothing_comes_from_elsewhere(tmp_path):
    summary = pd.DataFrame(
        {"patch": ["a"], "scoring": ["letter"], "accuracy": [0.5], "n": [9], "chance": [0.25]}
    )
    plot_scores(summary, tmp_path / "figure.png")
    report = Report("t", "q", {})
    report.figure(tmp_path / "figure.png", 'a "figure"')
    report.tokens(TokenView(("a",), (0.0,)), "tokens")
    seen = page(report, tmp_path)
    assert len(seen.sources) == 1
    assert seen.sources[0].startswith("data:image/png;base64,")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "default-src 'none'" in text
    assert text.count(circuitsvis_script()[:200]) == 1


def test_cells(tmp_path):
    report = Report("t", "q", {"seed": 3})
    report.table(pd.DataFrame({"x": [0.123456, np.nan], "y": [7, 8], "z": [None, "s"]}))
    seen = page(report, tmp_path)
    for shown in ("0.123", "7", "8", "s", "–"):
        assert shown in seen.texts
    assert '"seed": 3' in " ".join(seen.texts)


def test_fingerprints_are_left_out_of_the_page(tmp_path):
    """Also of those that the vectors were merged with, which may be merged ones themselves."""

    def provenance(model, *others):
        merged = {"merged_with": list(others)} if others else {}
        return {"model": model, "fingerprint": [0.125] * 480, **merged}

    vectors = provenance("one", provenance("two", provenance("three")), provenance("four"))
    before = json.dumps(vectors)
    text = " ".join(page(Report("t", "q", {"seed": 3, "vectors": vectors}), tmp_path).texts)
    for model in ("one", "two", "three", "four"):
        assert f'"model": "{model}"' in text
    assert "0.125" not in text
    assert "fingerprint" not in text
    assert json.dumps(vectors) == before


def test_numbers_of_every_type_stand_right(tmp_path):
    table = pd.DataFrame({"n": pd.array([12, None], dtype="Int64"), "s": ["a", "b"]})
    table["f"] = np.array([0.51234, np.nan], dtype=np.float32)
    table["many"] = [1660.0, np.nan]
    table["yes"] = [True, False]
    report = Report("t", "q", {})
    report.table(table)
    report.write(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert re.findall(r'<td class="number"><bdi>([^<]*)', text) == ["12", "0.512", "1660"]
    assert re.findall(r"<td><bdi>([^<]*)", text) == ["a", "True", "–", "b", "–", "–", "False"]


def test_projection_of_each_token(model):
    direction = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    view = project_tokens(model, "Tea?", direction, 1)
    ids = encode_chat(model, ["Tea?"])[0]
    assert len(view.tokens) == len(view.values) == len(ids) - 1
    assert view.tokens[-1] == model.tokenizer.decode([ids[-1]])
    places = [(1, place - len(ids)) for place in range(1, len(ids))]
    expected = activations_at(model, [ids], places)[:, 0] @ (direction / direction.norm())
    np.testing.assert_allclose(view.values, expected.numpy(), atol=1e-4)
    patch = Patch.add(direction, layer=1, coefficient=2.0)
    moved = project_tokens(model, "Tea?", direction, 1, patch, answer="Yes.")
    np.testing.assert_allclose(
        moved.values[: len(view.values)],
        np.array(view.values) + 2 * float(direction.norm()),
        atol=1e-3,
    )
    assert len(moved.tokens) > len(view.tokens)
    # Of a mask the prompt is that of the chat, and the answer what was generated.
    patch = Patch.add(direction, layer=1, coefficient=2.0, tokens="generated")
    answered = project_tokens(model, "Tea?", direction, 1, patch, answer="Yes.")
    n = len(view.values)
    np.testing.assert_allclose(answered.values[:n], view.values, atol=1e-4)
    np.testing.assert_allclose(answered.values[n:], moved.values[n:], atol=1e-3)
    assert not np.allclose(answered.values[:n], moved.values[:n], atol=1e-3)
    assert "CircuitsVis" in view._repr_html_()
    learned = project_tokens(model, "Tea?", direction.clone().requires_grad_(), 1)
    assert learned.values == view.values
    with pytest.raises(RoleLensError, match="layer 9 is out of range"):
        project_tokens(model, "Tea?", direction, 9)
    with pytest.raises(RoleLensError, match="more than the model's context"):
        project_tokens(model, "Tea?", direction, 1, answer="Yes. " * model.cfg.n_ctx)
