import pytest
import torch
from conftest import build
from tiny import QUIET

from role_lens import RoleVectors, activations_at, encode_chat
from role_lens.reading import persona_shift, shift_along_directions

ROLES = {"poet": ["Rhyme?", "Ode!"], "cook": ["Salt?", "Stew!"], "nurse": ["Pulse?", "Drip!"]}
PROMPTS = ["Tea?", "Lunch at noon!", "So it goes."]
PERSONA = "You are a poet."


@pytest.fixture(scope="module")
def vectors():
    return RoleVectors.fit(build("llama"), ROLES, PROMPTS, positions=[-2, -1], compute=QUIET)


def test_shift_is_the_difference_on_the_same_prompts(model):
    shift = persona_shift(
        model, PROMPTS, ["You are a cook.", PERSONA], [-2, -1], instead_of=[None, PERSONA]
    )
    places = [(layer, position) for position in (-2, -1) for layer in range(3)]
    told, plain = (
        activations_at(model, encode_chat(model, PROMPTS, system), places).mean(dim=1)
        for system in (PERSONA, None)
    )
    torch.testing.assert_close(shift[1, 0].flatten(0, 1), told - plain, atol=1e-4, rtol=1e-4)
    assert not shift[1, 1].any()
    torch.testing.assert_close(shift[0, 0] - shift[0, 1], shift[1, 0], atol=1e-4, rtol=1e-4)
    assert torch.equal(persona_shift(model, PROMPTS, [PERSONA], [-2, -1])[0, 0], shift[1, 0])


def test_a_direction_lies_along_itself(vectors):
    for contrast in ("base", "roles"):
        shift = 2.5 * vectors.directions(contrast)[1]
        table = shift_along_directions(shift, vectors, "cook")
        rows = table[(table["contrast"] == contrast) & (table["layer"] > 0)]
        assert len(rows) == 2 * 2
        assert rows["cosine"].to_numpy() == pytest.approx(1)
        assert rows["along"].to_numpy() == pytest.approx(2.5)
        assert (rows["rank"] == 1).all()
        row = rows[(rows["position"] == -1) & (rows["layer"] == 2)].iloc[0]
        others = vectors.directions(contrast)[[0, 2], 1, 2]
        cosines = torch.cosine_similarity(others, shift[1, 2][None], dim=1)
        assert row["others"] == pytest.approx(float(cosines.mean()), abs=1e-5)
    opposite = shift_along_directions(-vectors.directions("base")[1], vectors, "cook")
    assert opposite[(opposite["layer"] > 0) & (opposite["contrast"] == "base")]["rank"].max() == 3


def test_nothing_is_nearest_to_no_shift(vectors):
    """Where all prompts share their last tokens there is no direction and no rank."""
    table = shift_along_directions(vectors.directions("base")[1], vectors, "cook")
    assert table[table["layer"] == 0][["cosine", "rank", "along"]].isna().all(axis=None)
