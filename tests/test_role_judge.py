import numpy as np
import pytest
from tiny import QUIET

from role_lens import Asking, Question, RoleLensError, evaluate, generate
from role_lens.judges import (
    hit_rates,
    judged,
    names_role,
    own_ranks,
    persona_texts,
    ranks,
    role_likelihoods,
)

ROLES = ["poet", "ship cook", "nurse"]


def test_likelihoods_are_those_of_the_names(llama):
    texts = ["Ode to salt.", "Stew and ale "]
    found = role_likelihoods(llama, texts, ROLES, compute=QUIET)
    assert found.shape == (2, 3)
    question = Question(
        "q",
        "Stew and ale\n\nWhich profession or kind of person is this text about? "
        "Answer with its name.",
        tuple(ROLES),
        0,
        "s",
        "d",
    )
    table = evaluate(llama, [question], {"n": None}, asking=Asking("cloze"), compute=QUIET)
    np.testing.assert_allclose(
        found[1], table[["logprob_0", "logprob_1", "logprob_2"]].to_numpy()[0], atol=1e-5
    )
    with pytest.raises(RoleLensError, match="at least two roles"):
        role_likelihoods(llama, texts, ROLES[:1])


def test_equal_texts_are_judged_once_and_alike(llama):
    texts = ["Ode to salt.", "Stew.", "Ode to salt."]
    usual = np.array([-1.0, -9.0, -3.0])
    found = judged(llama, texts, ROLES, usual, compute=QUIET)
    assert found[0].tolist() == found[2].tolist()
    alone = role_likelihoods(llama, texts[:2], ROLES, compute=QUIET)
    assert found[:2].tolist() == ranks(alone, usual).tolist()


def test_as_many_roles_as_the_paper_has(llama):
    """More than there are letters."""
    roles = [f"maker of the {i}th kind" for i in range(29)]
    assert role_likelihoods(llama, ["Hm."], roles, compute=QUIET).shape == (1, 29)


def test_ranks():
    likelihoods = np.array([[-1.0, -2.0, -3.0], [-1.0, -1.5, -1.2]])
    assert ranks(likelihoods).tolist() == [[1, 2, 3], [1, 3, 2]]
    # A name that is always likely comes first only where it is likelier than usual.
    usual = likelihoods.mean(axis=0)
    assert ranks(likelihoods, usual).tolist() == [[1, 2, 3], [3, 2, 1]]
    assert ranks(np.zeros((1, 4))).tolist() == [[1, 2, 3, 4]]


def test_hit_rates():
    found = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [2, 1, 3, 4]])
    own = own_ranks(found, [0, 0, 0])
    assert own.tolist() == [1, 4, 2]
    rates = hit_rates(own, 4, at=(1, 2, 9))
    assert rates["hit@1"] == pytest.approx(1 / 3)
    assert rates["hit@2"] == pytest.approx(2 / 3)
    assert rates["hit@9"] == rates["chance@9"] == 1
    assert rates["chance@1"] == 0.25
    assert (rates["mean_rank"], rates["chance_rank"]) == pytest.approx((7 / 3, 2.5))


def test_persona_texts(llama):
    table = persona_texts(llama, ROLES, ["Go.", "Tell me."], max_new_tokens=4)
    assert table["role"].tolist() == ["poet"] * 2 + ["ship cook"] * 2 + ["nurse"] * 2
    alone = generate(llama, "Tell me.", system="You are a nurse.", max_new_tokens=4)
    assert table["text"].iloc[-1] == alone


@pytest.mark.parametrize(
    ("text", "role", "found"),
    [
        ("X is a lawyer.", "lawyer", True),
        ("Lawyers argue.", "lawyer", True),
        ("An economic  researcher", "economic researcher", True),
        ("The bylawyers", "lawyer", False),
        ("economics", "economist", False),
        ("two nurses", "nurse", True),
        ("two data analysts", "data analyst", True),
        ("honorary", "honor", False),
        ("secretaries", "secretary", True),
        ("a secretary", "secretary", True),
    ],
)
def test_names_role(text, role, found):
    assert names_role(text, role) is found
