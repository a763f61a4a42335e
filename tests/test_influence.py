"""How much each prompt has to do with an estimated effect, against fits without it."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from tiny import BASE, QUIET, ROLES

from role_lens import DirectionSpec, Question, RoleLensError, RoleVectors, attribute
from role_lens.reading import fewest_that_turn, influence, without
from role_lens.scoring import Asker

QUESTIONS = [
    Question(f"q{i}", f"Which is {i}?", ("a", "bc", "def"), i % 3, "s", "d") for i in range(12)
]
SPEC = DirectionSpec("poet", layer=2, position=-1)
MANY = {**ROLES, "poet": [f"{text} ({i})" for i in range(3) for text in ROLES["poet"]]}


def fit(llama, roles, base=BASE):
    return RoleVectors.fit(llama, roles, base, positions=[-1], compute=QUIET)


def estimate(llama, vectors):
    table = attribute(llama, vectors, QUESTIONS, compute=QUIET).set_index(
        ["contrast", "role", "position", "layer"]
    )
    return table.loc[("base", "poet", -1, 2), "effect"]


@pytest.fixture(scope="module")
def table(llama):
    asked = Asker(llama, compute=QUIET).ask(QUESTIONS)
    return influence(asked, fit(llama, MANY).with_prompts(MANY, BASE), SPEC)


def test_leaving_out_each_prompt(llama, table):
    """Of the role and of the base, by fitting again without it."""
    whole = estimate(llama, fit(llama, MANY))
    assert table["estimate"].to_numpy() == pytest.approx(whole, rel=1e-3, abs=1e-6)
    for row in table.itertuples():
        texts = MANY["poet"] if row.kind == "role" else BASE
        rest = [text for i, text in enumerate(texts) if i != row.prompt]
        assert texts[row.prompt] == row.text
        again = fit(llama, {**MANY, "poet": rest}) if row.kind == "role" else fit(llama, MANY, rest)
        expected = whole - estimate(llama, again)
        assert row.influence == pytest.approx(expected, rel=1e-2, abs=2e-6)


def test_leaving_out_several(llama, table):
    some = [0, 2]
    rest = [text for i, text in enumerate(MANY["poet"]) if i not in some]
    expected = estimate(llama, fit(llama, {**MANY, "poet": rest}))
    assert without(table, some) == pytest.approx(expected, rel=1e-2, abs=2e-6)


def test_the_fewest_that_turn_an_effect():
    """Of drawn projections, against every subset; on either side of zero, and where none does."""
    rng = np.random.default_rng(0)
    sizes = []
    for shift in (-0.4, 0.4, 0.4, 3.0):
        projection = np.append(rng.normal(shift, 1, 8), 0.0)
        drawn = pd.DataFrame({"kind": ["role"] * 8 + ["base"], "prompt": [*range(8), 0]})
        drawn = drawn.assign(projection=projection, estimate=projection[:8].mean())
        turning = [
            n
            for n in range(1, 8)
            for some in combinations(range(8), n)
            if without(drawn, list(some)) * projection[:8].mean() < 0
        ]
        found = fewest_that_turn(drawn)
        assert (None if found is None else len(found)) == min(turning, default=None)
        assert found is None or without(drawn, found) * projection[:8].mean() < 0
        sizes.append(found and len(found))
    assert None in sizes
    assert len({*sizes}) > 1


def test_refused(llama, vectors, table):
    asked = Asker(llama, compute=QUIET).ask(QUESTIONS)
    with pytest.raises(RoleLensError, match="prompts of the fit aren't known"):
        influence(asked, replace(vectors, prompts=None), SPEC)
    with pytest.raises(RoleLensError, match="influence is of contrast 'base', got 'roles'"):
        influence(asked, vectors, replace(SPEC, contrast="roles"))
    with pytest.raises(RoleLensError, match="at least one prompt of the role has to be left"):
        without(table, list(range(100)))
