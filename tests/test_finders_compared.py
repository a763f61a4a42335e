"""Several ways of finding directions in one comparison: what is judged together, and what not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny import BASE, QUIET, ROLES

from role_lens import Exam, Grid, Question, RoleLensError, RoleVectors, Selection, TestPlan
from role_lens.experiments import compare_finders, judge, read_scores
from role_lens.finders import FINDERS

HOMES = {"poet": "verse", "cook": "food"}


def ask(domain, n, word):
    """With options of their own, so that there is something to ask without the questions' text."""
    return [
        Question(
            f"{word}{i}", f"Which {word} {i}?", (f"a{i}", f"{i}b", f"c{i}d"), i % 3, "s", domain
        )
        for i in range(n)
    ]


TEST = [*ask("verse", 24, "line"), *ask("food", 22, "dish")]
VALIDATION = [*ask("verse", 20, "word"), *ask("food", 20, "pan")]
SELECTION = Selection(Grid(layers=(1, 2), positions=(-1,), screen=1), max_kl=None)
PLAN = TestPlan(n_shuffled=0, n_other=0, n_phrasings=0, n_random_ablations=0, max_off_domain=0,
                permutations=200, judge_all=True)  # fmt: skip


@pytest.fixture(scope="module")
def compared(llama, tmp_path_factory):
    found = {
        name: RoleVectors.fit(
            llama, ROLES, BASE, finder=FINDERS[finder](), positions=[-1], compute=QUIET
        )
        for name, finder in (("means", "means"), ("again", "means"), ("pca", "pca"))
    }
    folder = tmp_path_factory.mktemp("finders")
    exam = Exam(TEST, VALIDATION, domains=HOMES)
    table = compare_finders(llama, found, exam, folder, SELECTION, PLAN, QUIET)
    return folder, table


@pytest.mark.filterwarnings("ignore")
def test_each_way_is_as_it_is_alone(compared):
    """Effects are those of each comparison; the same vectors twice get the same row twice."""
    folder, table = compared
    assert table[["role", "finder"]].values.tolist() == [
        [role, finder] for role in ("cook", "poet") for finder in ("means", "again", "pca")
    ]
    assert set(table.loc[table["finder"] == "pca", "contrast"]) == {"pca"}
    assert set(table.loc[table["finder"] != "pca", "contrast"]) <= {"base", "roles"}
    for name, part in table.groupby("finder"):
        alone = pd.read_parquet(folder / name / "comparison.parquet").set_index("role")
        part = part.set_index("role")
        for column in ("add", "persona", "layer", "excess"):
            np.testing.assert_allclose(
                part[column].astype(float), alone.loc[part.index, column].astype(float), atol=1e-12
            )
        assert (part["p_more"] >= alone.loc[part.index, "p_more"] - 1e-12).all()  # of more rows
    columns = ["role", "layer", "add", "excess", "p_more", "verdict"]
    one, other = (table[table["finder"] == name][columns] for name in ("means", "again"))
    assert one.values.tolist() == other.values.tolist()


def test_what_needs_no_questions_is_told_as_alone(compared):
    """The effects without the questions' text, which a verdict may hang on, are judged too."""
    folder, table = compared
    for name in ("means", "pca"):
        alone = judge(read_scores(folder / name), permutations=200, judge_all=True)
        alone = alone[alone["kind"] == "add"]
        assert alone["beyond_blind_low"].notna().all()
    together = pd.read_parquet(folder / "effects.parquet")
    together = together[together["kind"] == "add"]
    assert len(together) == len(table)
    assert together["beyond_blind_low"].notna().all()


def test_roles_of_a_way_are_pooled(compared):
    folder, table = compared
    pooled = pd.read_parquet(folder / "pooled.parquet")
    together = pooled[pooled["domain"] == "all"].set_index("finder")
    assert list(together.index) == ["means", "again", "pca"]
    means = table.groupby("finder")["add"].mean()
    np.testing.assert_allclose(together["effect"], means[together.index], atol=1e-12)


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.filterwarnings("ignore")
def test_nothing_to_judge_and_what_is_refused(llama, tmp_path):
    vectors = RoleVectors.fit(llama, ROLES, BASE, positions=[-1], compute=QUIET)
    exam = Exam(TEST, VALIDATION, domains=HOMES)
    plan = TestPlan(n_shuffled=0, max_off_domain=0, permutations=200)
    found = compare_finders(llama, {"means": vectors}, exam, tmp_path, SELECTION, plan, QUIET)
    assert found["verdict"].str.contains("nothing to judge").all()
    for wrong in ({}, vectors, {"means": None}):
        with pytest.raises(RoleLensError):
            compare_finders(llama, wrong, exam, tmp_path / "other")


@pytest.mark.filterwarnings("ignore")
def test_a_way_without_a_direction_within_the_limit_leaves_the_others(llama, tmp_path):
    found = {
        name: RoleVectors.fit(llama, ROLES, BASE, finder=name, positions=[-1], compute=QUIET)
        for name in ("means", "pca")
    }
    wild = found["pca"]
    found["pca"] = replace(wild, found={"pca": 1000.0 * wild.found["pca"]})
    exam = Exam(TEST, VALIDATION, domains=HOMES)
    limited = replace(SELECTION, max_kl=1.0)
    with pytest.warns(UserWarning, match="no direction of poet, cook is within the limit"):
        table = compare_finders(llama, found, exam, tmp_path, limited, PLAN, QUIET)
    verdicts = table.set_index(["finder", "role"])["verdict"]
    assert (verdicts["pca"] == "no direction was chosen").all()
    assert verdicts["means"].str.contains("random").all()
