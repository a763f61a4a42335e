"""The score of knowledge: what doesn't move it, what does, its gradient, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from tiny import QUIET

from role_lens import Asking, Question, RoleLensError, attribute, evaluate
from role_lens.scoring import Asker, MarginDesign, margins

SUBJECTS = [f"subject {number % 5}" for number in range(60)]


def drawn(seed=0, n=60, n_options=4, know=0.0):
    """Scores and answers of questions with as many options, or from 2 to 10."""
    rng = np.random.default_rng(seed)
    sizes = np.full(n, n_options or 2) if n_options else rng.integers(2, 11, n)
    scores = rng.normal(0, 0.5, (n, sizes.max()))
    answers = (rng.random(n) ** 1.5 * sizes).astype(int)  # early letters are right more often
    scores[np.arange(n), answers] += know
    scores[np.arange(sizes.max()) >= sizes[:, None]] = np.nan
    return scores, answers, rng


@settings(max_examples=40, deadline=None)
@given(
    temperature=st.floats(0.5, 2.0),
    seed=st.integers(0, 50),
    n_options=st.sampled_from([0, 2, 3, 4, 10]),
)
def test_temperature_and_letters_change_nothing(temperature, seed, n_options):
    scores, answers, rng = drawn(seed, n_options=n_options)
    preference = {name: rng.normal(0, 2, scores.shape[1]) for name in set(SUBJECTS)}
    moved = scores / temperature + np.stack([preference[name] for name in SUBJECTS])
    moved += rng.normal(0, 5, (len(scores), 1))  # such as a normalisation over the options
    before, after = (margins(s, answers, SUBJECTS) for s in (scores, moved))
    assert np.abs(after - before).max() < 1e-9


def test_log_p_of_the_right_option_is_moved_by_both():
    scores, answers, _ = drawn(n=400)

    def log_p(s):
        return (s[np.arange(len(s)), answers] - logsumexp(s, axis=1)).mean()

    assert log_p(scores / 1.5) - log_p(scores) > 0.02
    assert log_p(scores + 0.3 * np.eye(4)[0]) - log_p(scores) > 0.02


@pytest.mark.parametrize("n_options", [0, 3, 4])
@pytest.mark.parametrize("letters", [True, False])
def test_knowledge_is_the_mean_in_spreads_of_the_wrong_options(n_options, letters):
    scores, answers, _ = drawn(n=2000, n_options=n_options, know=0.2)
    found = margins(scores, answers, letters=letters)
    assert found.mean() == pytest.approx(0.2 / 0.5, abs=0.05)
    known = scores.copy()
    known[np.arange(len(scores)), answers] += 0.1
    more = margins(known, answers, letters=letters)
    assert (more - found).mean() == pytest.approx(0.1 / 0.5, rel=0.05)


def test_balanced_letters_by_hand():
    """Each letter is right as often: then it is the right option minus the mean of the wrong.

    The letters take an eighth of each question, for which deviations are corrected.
    """
    rng = np.random.default_rng(1)
    scores, answers = rng.normal(size=(8, 4)), np.arange(8) % 4
    design = MarginDesign(answers, np.ones((8, 4), dtype=bool))
    level = scores - scores.mean(axis=1, keepdims=True)
    free = level - level.mean(axis=0)
    right = free[np.arange(8), answers]
    by_hand = right - (free.sum(axis=1) - right) / 3
    expected = by_hand.mean() + (by_hand - by_hand.mean()) * np.sqrt(8 / 7)
    assert design.margins(scores) * design.spreads(scores) == pytest.approx(expected)


def test_questions_that_are_alone_share_a_preference():
    scores, answers, _ = drawn(n=20)
    alone = [f"subject {number}" for number in range(20)]
    assert margins(scores, answers, alone) == pytest.approx(margins(scores, answers))
    assert margins(*drawn()[:2], SUBJECTS) != pytest.approx(margins(*drawn()[:2]))


def test_their_spread_tells_the_error_of_the_mean():
    """In groups of four the preferences take a third of each question, or more."""
    groups = [number // 4 for number in range(40)]
    rng = np.random.default_rng(0)
    found = np.stack(
        [margins(rng.normal(size=(40, 4)), rng.permutation(40) % 4, groups) for _ in range(400)]
    )
    usual_error = found.std(axis=1).mean() / np.sqrt(40)
    assert found.mean(axis=1).std() == pytest.approx(usual_error, rel=0.08)


@pytest.mark.parametrize("n_options", [0, 2, 4])
@pytest.mark.parametrize("letters", [True, False])
def test_gradient_is_the_slope(n_options, letters):
    scores, answers, _ = drawn(3, n=30, n_options=n_options)
    design = MarginDesign(answers, ~np.isnan(scores), SUBJECTS[:30], letters=letters)
    gradient = design.gradient(scores)
    assert (gradient[np.isnan(scores)] == 0).all()
    for question, option in zip(*np.nonzero(~np.isnan(scores)), strict=True):
        step = np.zeros_like(scores)
        step[question, option] = 1e-5
        up, down = (design.margins(scores + sign * step).mean() for sign in (1, -1))
        assert gradient[question, option] == pytest.approx((up - down) / 2e-5, abs=1e-7)


def test_many_conditions_at_once():
    scores, answers, rng = drawn()
    several = scores + rng.normal(0, 0.1, (7, *scores.shape))
    design = MarginDesign(answers, np.ones(scores.shape, dtype=bool), SUBJECTS)
    together = design.margins(several)
    assert together == pytest.approx(np.stack([margins(s, answers, SUBJECTS) for s in several]))


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize(
    ("scores", "answers", "message"),
    [
        (np.ones((3, 1)), [0, 0, 0], "at least two options each, got one with 1"),
        (np.ones((0, 4)), [], "got no questions"),
        (np.eye(4), [1, 1, 1, 1], "all at one letter, so that knowledge can't be told"),
        (np.ones((8, 4)), [0, 1, 2, 3] * 2, "the same score under a condition"),
        (
            np.eye(4),
            [0, 1, 2, 4],
            "has answer 4, which is none of its options: 0, 1",
        ),
        (
            np.eye(4),
            [0, 1, 2, -1],
            "question 3 .* has answer -1, which is none",
        ),
        (np.eye(4), ["A", "B", "C", "D"], "answers must be whole numbers, the index of each"),
        ([[1.0, 2.0], [1.0]], [0, 0], "expected numbers by question and option"),
        (np.eye(4), [0, 1, 2], "an answer for each of 4 questions"),
        (np.where(np.eye(4) > 0, -np.inf, 1.0), [0, 1, 2, 3], "finite scores"),
        (np.ones(4), [0], r"by question and option, got shape \(4,\)"),
    ],
)
def test_refused(scores, answers, message):
    with pytest.raises(RoleLensError, match=message) as refused:
        margins(scores, answers)
    assert "\n" not in str(refused.value)


QUESTIONS = [
    Question(
        f"q{i}", f"Which{' one' * (i % 3)} {i}?", ("a", "bc", "d e")[: 2 + i % 2], i % 2, "s", "d"
    )
    for i in range(12)
]


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
@pytest.mark.parametrize(
    ("score", "column"), [("margin", "margin"), ("logprob", "logprob_correct")]
)
def test_estimates_are_slopes_of_the_mean(llama, vectors, scoring, score, column):
    asking, place = Asking(scoring), {"layer": 1, "position": -1, "contrast": "base"}
    table = attribute(llama, vectors, QUESTIONS, asking, score=score, compute=QUIET)
    row = table[(table["layer"] == 1) & (table["position"] == -1) & (table["contrast"] == "base")]
    role = row["role"].iloc[0]
    patches = {str(s): vectors.add(role, coefficient=s * 1e-3, **place) for s in (-1, 1)}
    exact = (
        evaluate(llama, QUESTIONS, patches, asking, compute=QUIET).groupby("patch")[column].mean()
    )
    slope = (exact["1"] - exact["-1"]) / 2e-3
    assert row["effect"].iloc[0] == pytest.approx(slope, rel=5e-3, abs=1e-3)


def test_what_can_not_be_told_is_missing(llama):
    same = [q for q in QUESTIONS if q.answer == 0]
    table = evaluate(llama, same, {"b": None}, compute=QUIET)
    assert table["margin"].isna().all()
    with pytest.raises(RoleLensError, match="all at one letter"):
        Asker(llama, compute=QUIET).ask(same).margin_design.margins(np.zeros((6, 2)))
    assert (
        evaluate(llama, same, {"b": None}, Asking("cloze"), compute=QUIET)["margin"].notna().all()
    )


def test_entropy_by_hand(llama):
    table = evaluate(llama, QUESTIONS[:1], {"b": None}, compute=QUIET)
    scores = table[["logprob_0", "logprob_1"]].to_numpy()[0]
    p = np.exp(scores - logsumexp(scores))
    assert table["entropy"].item() == pytest.approx(-(p * np.log(p)).sum())


def test_another_temperature_of_a_model_changes_no_margin(llama):
    asked = Asker(llama, compute=QUIET).ask(QUESTIONS)
    (summed,) = asked.scorer().logprobs([()])
    exact = summed.double()  # float32 would round what it divides
    usual, warm = (asked.score_columns(exact / temperature) for temperature in (1.0, 1.6))
    np.testing.assert_allclose(warm["margin"], usual["margin"], rtol=0, atol=1e-9)
    assert abs((warm["logprob_correct"] - usual["logprob_correct"]).mean()) > 1e-3


def test_noise_helps_nowhere_however_few_questions_have_three_options():
    """One such question alone would tell the spread so badly that every ratio is skewed."""
    rng = np.random.default_rng(0)
    for n_of_three in (0, 1, 5):
        present = np.ones((100, 3), dtype=bool)
        present[n_of_three:, 2] = False
        found = []
        for _ in range(200):
            answers = rng.integers(0, 2, 100)
            before = np.where(present, rng.normal(0, 0.5, present.shape), np.nan)
            after = before + rng.normal(0, 0.3, present.shape)
            change = margins(after, answers) - margins(before, answers)
            z = change.mean() / (change.std(ddof=1) / 10)
            found.append(z > 1.66)
        assert np.mean(found) < 0.1, n_of_three
