import json
import re
import warnings
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import BASE, QUIET, ROLES

from role_lens import (
    Asking,
    DirectionSpec,
    Exam,
    Grid,
    Patch,
    Question,
    RoleLensError,
    RoleVectors,
    Selection,
    TestPlan,
    compare,
    evaluate,
    load_prompts,
    persona_prompts,
    sweep,
)
from role_lens.experiments import (
    Choice,
    Learning,
    baseline,
    choose_random,
    judge,
    judged_conditions,
    learn_addition,
    persona_conditions,
    read_scores,
    score_conditions,
)
from role_lens.experiments.conditions import other_conditions
from role_lens.experiments.dividing import check_exam
from role_lens.questions import homes_among, homes_of
from role_lens.reporting import plot_comparison
from role_lens.scoring import AskedQuestions, Asker, NeutralPrompts

HOMES = {"poet": "verse", "cook": "food"}


def ask(domain, n, word):
    return [
        Question(
            f"{word}{i}", f"Which {word} is {i}?", ("a", "bc", "def"), i % 3, f"s{i % 2}", domain
        )
        for i in range(n)
    ]


TEST = [*ask("verse", 24, "line"), *ask("food", 22, "dish"), *ask("other", 21, "thing")]
VALIDATION = [*ask("verse", 20, "word"), *ask("food", 20, "pan")]


def run(llama, vectors, out, questions=TEST, **options):
    """A small comparison; options of any of its records by their names."""
    usual = {"validation": VALIDATION, "domains": HOMES, "max_kl": None, "leave_out_last": None}
    usual |= {"grid": Grid(contrasts=None, screen=2), "permutations": 200, "n_shuffled": 0}
    # The tiny model knows nothing, of which `test_nothing_to_judge` is a test.
    usual |= {"judge_all": True, "positive_controls": False, "n_random_ablations": 0}
    options = {**usual, **options}

    def record(kind, *more):
        names = [field.name for field in fields(kind) if field.name in options]
        return kind(*more, **{name: options.pop(name) for name in names})

    exam = record(Exam, questions)
    selection, plan = record(Selection), record(TestPlan)
    assert not options, f"no such options: {options}"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*they are judged nevertheless")
        return compare(llama, vectors, exam, out, selection, plan, QUIET)


@pytest.fixture(scope="module")
def compared(llama, vectors, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    table = run(llama, vectors, out, n_shuffled=5, n_random_ablations=20)
    effects = pd.read_parquet(out / "effects.parquet")
    choices = pd.read_parquet(out / "choices.parquet").set_index("role")
    return table, effects, choices


def test_a_row_for_every_role_and_domain(compared):
    table, effects, _ = compared
    assert list(zip(table["role"], table["domain"], table["in_domain"], strict=True)) == [
        ("cook", "food", True),
        ("poet", "verse", True),
        ("poet", "food", False),
        ("cook", "other", False),
        ("poet", "other", False),
        ("cook", "verse", False),
    ]
    assert list(table["n"]) == [22, 24, 22, 21, 21, 24]
    shared = effects[effects["role"].isna()].groupby(["kind", "in_domain", "domain"]).size()
    assert set(shared) == {20}
    assert set(shared.index.get_level_values("kind")) == {"random_ablate"}
    assert len(shared) == 2 + 3
    numbers = effects.groupby(["role", "in_domain", "kind"]).size().unstack()
    home, away = numbers.loc[("poet", True)], numbers.loc[("poet", False)]
    several = ["random", "shuffled", "other", "phrasing", "neutral_persona"]
    assert home[several].tolist() == [20, 5, 1, 5, 1]
    assert away["random"] == 2 * 20
    only_home = {"shuffled", "other", "phrasing", "neutral_persona", "persona_over_neutral"}
    assert set(away.dropna().index) == set(home.index) - only_home


def test_scores_can_be_judged_anew(llama, vectors, tmp_path):
    """From the run folder alone, with the same result, blind controls too; or by another bound."""
    asked = [replace(one, choices=(f"a{i}", "bc", "def")) for i, one in enumerate(TEST)]
    little = {"grid": Grid(roles=("poet",), layers=(1,)), "n_other": 0, "n_phrasings": 0}
    run(llama, vectors, tmp_path, asked, max_off_domain=20, **little)
    there = pd.read_parquet(tmp_path / "effects.parquet")
    scores = read_scores(tmp_path)
    here = judge(scores, judge_all=True, permutations=200)
    keys = ["in_domain", "domain", "kind", "role", "detail"]
    # Adjusted p values are of families, in which the order decides among equals alone.
    columns = [*keys, "n", "effect", "excess", "low", "p_helps", "blind_effect", "beyond_blind_low"]
    tables = [table.sort_values(keys)[columns].reset_index(drop=True) for table in (there, here)]
    pd.testing.assert_frame_equal(*tables, check_dtype=False)
    assert here["beyond_blind_low"].notna().any()
    # So wide a bound that every interval lies within it.
    wide = judge(scores, judge_all=True, permutations=200, bound=1e6)
    assert wide["verdict"].dropna().str.startswith(("no more than random", "more", "less")).all()


def test_what_the_guards_leave_out_stands_beside_the_choice(llama, vectors, tmp_path):
    """Layer 2, the last third, is left out of the choice; alone it would have been chosen."""
    little = {"n_other": 0, "n_phrasings": 0, "max_off_domain": 0, "leave_out_last": 0.34}
    grid = Grid(roles=("poet",), contrasts=("base",), positions=(-1,))
    run(llama, vectors, tmp_path, grid=grid, **little)
    (choice,) = pd.read_parquet(tmp_path / "choices.parquet").to_dict("records")
    assert choice["layer"] == 1
    effects = pd.read_parquet(tmp_path / "effects.parquet")
    found = effects[effects["kind"] == "add_unguarded"]
    assert (len(found), choice["unguarded_layer"]) == (1, 2)
    asked = [question for question in TEST if question.domain == "verse"]
    patches = {"none": None, "add": vectors.add("poet", layer=int(choice["unguarded_layer"]))}
    means = evaluate(llama, asked, patches, compute=QUIET).groupby("patch")["margin"].mean()
    for effect in found["effect"]:
        assert effect == pytest.approx(means["add"] - means["none"], abs=1e-5)


def test_a_ceiling_is_learned(llama, vectors, tmp_path):
    little = {"n_other": 0, "n_phrasings": 0, "max_off_domain": 0, "learning_steps": 2}
    table = run(llama, vectors, tmp_path, grid=Grid(roles=("poet",), layers=(1,)), **little)
    assert table["learned"].notna().all()
    (choice,) = pd.read_parquet(tmp_path / "choices.parquet").to_dict("records")
    names = ("layer", "position", "contrast", "coefficient")
    added = vectors.add("poet", **{name: choice[name] for name in names})
    asked = Asker(llama, compute=QUIET).ask([q for q in VALIDATION if q.domain == "verse"])
    length = float(added.direction.norm()) * added.value
    patch = learn_addition(
        asked, tmp_path / "again", layer=1, length=length, learning=Learning(steps=2)
    )
    tested = [question for question in TEST if question.domain == "verse"]
    scores = evaluate(llama, tested, {"none": None, "learned": patch}, compute=QUIET)
    means = scores.groupby("patch")["margin"].mean()
    assert table["learned"][0] == pytest.approx(means["learned"] - means["none"], abs=1e-4)


def test_scores_of_what_is_no_comparison_are_refused(tmp_path):
    with pytest.raises(RoleLensError, match="holds no scores of a comparison"):
        read_scores(tmp_path)


def test_effects_are_those_of_evaluate(compared, llama, vectors):
    table, _, choices = compared
    row, choice = table.iloc[1], choices.loc["poet"]
    where = {"layer": int(choice["layer"]), "position": int(choice["position"])}
    where["contrast"] = choice["contrast"]
    questions = [question for question in TEST if question.domain == "verse"]
    patches = {"add": vectors.add("poet", **where), "ablate": vectors.ablate("poet", **where)}
    patches["ablate_not_first"] = vectors.ablate("poet", **where, tokens="not_first")
    scores = evaluate(llama, questions, {"none": None, **patches}, compute=QUIET)
    persona = evaluate(
        llama,
        questions,
        {"p": None},
        Asking(system=persona_prompts("poet")[choice["persona"]]),
        compute=QUIET,
    )
    means = scores.groupby("patch")["margin"].mean()
    assert row["baseline"] == pytest.approx(means["none"], abs=1e-5)
    assert row["add"] == pytest.approx(means["add"] - means["none"], abs=1e-5)
    for kind in ("ablate", "ablate_not_first"):
        assert row[kind] == pytest.approx(means[kind] - means["none"], abs=1e-5)
    told = persona["margin"].mean() - means["none"]
    assert row["persona"] == pytest.approx(told, abs=1e-5)
    for kind in ("random", "shuffled", "phrasing"):
        assert row[f"{kind}_low"] < row[f"{kind}_high"]
    assert row["add_over_persona"] == pytest.approx(row["add"] - row["persona"])


def test_matched_parts_are_as_long_as_the_whole(vectors):
    choice = Choice(DirectionSpec("cook", 1, -1, "base", 2.0), 0.0, 0.0, 0.0, 20, 1)
    judged = {c.kind.value: c for c in judged_conditions(vectors, choice, persona=2)}
    whole = judged["add"].patches[0]
    parts = {kind: one.patches[0] for kind, one in judged.items() if kind.startswith("s")}
    torch.testing.assert_close(
        parts["shared"].direction + parts["specific"].direction, whole.direction
    )
    shuffled = torch.randn(2, whole.direction.shape[0])
    several = other_conditions(vectors, choice, shuffled, TestPlan(), persona=None)
    long = [parts["shared_matched"], parts["specific_matched"], *(c.patches[0] for c in several)]
    for patch in long:
        assert float(patch.direction.norm()) == pytest.approx(float(whole.direction.norm()))
        assert (patch.layers, patch.value) == ((1,), 2.0)
    assert [c.kind.value for c in several] == ["shuffled", "shuffled", "other"]


def test_no_parts_where_the_mean_direction_is_rounding(llama):
    """Base prompts that are all the roles' prompts, and a single role."""
    both = [prompt for prompts in ROLES.values() for prompt in prompts]
    choice = Choice(DirectionSpec("cook", 1, -1, "roles", 1.0), 0.0, 0.0, 0.0, 20, 1)
    vectors = RoleVectors.fit(llama, ROLES, both, positions=[-1], compute=QUIET)
    kinds = [c.kind.value for c in judged_conditions(vectors, choice, persona=None)]
    assert kinds == ["add", "ablate", "ablate_not_first"]


@pytest.mark.long
def test_a_stopped_run_goes_on(llama, vectors, tmp_path, compared, monkeypatch):
    table, *_ = compared
    options = {"n_shuffled": 5, "n_random_ablations": 20}
    write, left = pd.DataFrame.to_parquet, iter(range(20))

    def stopping(self, path, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(self, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(llama, vectors, tmp_path, **options)
    again = run(llama, vectors, tmp_path, **options)
    pd.testing.assert_frame_equal(again, table, check_exact=False, atol=1e-5)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*")}
    assert len(written) > 5
    pd.testing.assert_frame_equal(run(llama, vectors, tmp_path, **options), again)
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*")}


@pytest.mark.long
def test_the_test_questions_do_not_choose(llama, vectors, tmp_path, compared):
    """Other answers to the test questions, and the same choices."""
    other = [
        Question(q.id, q.question, q.choices, (q.answer + 1) % 3, q.subject, q.domain) for q in TEST
    ]
    run(llama, vectors, tmp_path, other, max_off_domain=0)
    choices = pd.read_parquet(tmp_path / "choices.parquet").set_index("role")
    pd.testing.assert_frame_equal(choices, compared[2])


@pytest.mark.long
def test_without_validation_the_questions_are_halved(llama, vectors, tmp_path):
    questions = [*ask("verse", 44, "line"), *ask("food", 40, "dish")]
    table = run(llama, vectors, tmp_path, questions, validation=None, max_off_domain=0)
    assert list(table["n"]) == [20, 22]
    choices = pd.read_parquet(tmp_path / "choices.parquet")
    assert sorted(choices["n_questions"]) == [20, 22]
    options = {"validation": None, "max_off_domain": 0, "max_validation": 21}
    table = run(llama, vectors, tmp_path / "limited", questions, **options)
    assert list(table["n"]) == [20, 22]  # those that test are as many
    choices = pd.read_parquet(tmp_path / "limited" / "choices.parquet")
    assert sorted(choices["n_questions"]) == [20, 21]


@pytest.mark.long
def test_limits(llama, vectors, tmp_path):
    table = run(llama, vectors, tmp_path, max_questions=20, max_off_domain=20)
    assert set(table["n"]) == {20}


@pytest.mark.long
def test_repeats_are_dropped_from_the_validation(llama, vectors, tmp_path):
    repeated = [*VALIDATION, *TEST[:3]]
    with pytest.warns(UserWarning, match="3 of 43 validation questions are test questions too"):
        run(llama, vectors, tmp_path, validation=repeated, max_off_domain=0)
    assert set(pd.read_parquet(tmp_path / "choices.parquet")["n_questions"]) == {20}


def test_no_direction_within_the_guards(llama, vectors, tmp_path):
    with pytest.warns(UserWarning, match="no direction of poet, cook is within the limit"):
        table = run(llama, vectors, tmp_path, max_kl=1e-12)
    assert table["verdict"].tolist() == ["no direction was chosen"] * 2


@pytest.mark.long
def test_a_single_role_has_no_specific_part(llama, tmp_path):
    vectors = RoleVectors.fit(llama, {"poet": ROLES["poet"]}, BASE, positions=[-1], compute=QUIET)
    table = run(llama, vectors, tmp_path, max_off_domain=0)
    assert "shared" not in table.columns
    assert table["verdict"].notna().all()


@pytest.mark.long
@pytest.mark.parametrize(
    ("on_system", "message"),
    [
        ("{{ raise_exception('no system here') }}", "no system here"),
        ("", "leaves system messages out"),
    ],
)
def test_templates_without_system_messages(
    llama, vectors, tmp_path, monkeypatch, on_system, message
):
    template = (
        "{% for message in messages %}{% if message.role == 'system' %}"
        + on_system
        + "{% else %}{{ message.content }}{% endif %}{% endfor %} Answer:"
    )
    monkeypatch.setattr(llama.tokenizer, "chat_template", template)
    with pytest.warns(UserWarning, match=f"no persona prompts are asked: .*{message}"):
        table = run(llama, vectors, tmp_path, max_off_domain=0)
    assert "persona" not in table.columns


@pytest.mark.long
def test_repeats_in_one_part_count_once(llama, vectors, tmp_path):
    with pytest.warns(UserWarning, match="4 of 71 questions repeat another"):
        table = run(llama, vectors, tmp_path, [*TEST, *TEST[:4]], max_off_domain=0)
    assert list(table["n"]) == [22, 24]


@pytest.mark.long
def test_domain_names_are_no_paths(llama, vectors, tmp_path):
    renamed = {"verse": "../a/b", "food": ".."}
    test, validation = (
        [replace(q, domain=renamed.get(q.domain, q.domain)) for q in some]
        for some in (TEST, VALIDATION)
    )
    homes = {role: renamed[home] for role, home in HOMES.items()}
    out = tmp_path / "out"
    run(llama, vectors, out, test, validation=validation, domains=homes, max_off_domain=0)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(list((out / "in_domain").iterdir())) == 2


@pytest.mark.long
def test_vectors_without_built_in_prompts_have_no_shuffled_labels(llama, vectors, tmp_path):
    read = replace(vectors, prompts=None)  # as from a file
    with pytest.warns(UserWarning, match="no directions from shuffled labels"):
        table = run(llama, read, tmp_path, n_shuffled=5, max_off_domain=0)
    assert "shuffled_low" not in table.columns


@pytest.mark.long
def test_thin_bands_are_told(llama, vectors, tmp_path):
    """A rotation has no direction within the guards, where there is no other to give way to."""
    grid = Grid(("poet",), layers=(1,), positions=(-1,), contrasts=("base",), screen=1)
    asked = Asker(llama, compute=QUIET).ask([q for q in VALIDATION if q.domain == "verse"])
    plan, free = TestPlan(), Selection(grid, max_kl=None)
    kl = NeutralPrompts(asked, load_prompts("builtin")[::8])
    bands = choose_random(asked, vectors, tmp_path / "free", free, plan)
    limit = 0.99 * max(kl.divergence(one.patch) for one in bands)
    with pytest.warns(UserWarning, match=r"null bands are smaller: (cook|poet)"):
        table = run(
            llama,
            vectors,
            tmp_path / "out",
            grid=grid,
            max_kl=limit,
            max_off_domain=0,
            n_other=0,
            n_phrasings=0,
        )
    assert 0 < table["n_random"].min() < 20
    plot_comparison(table.reset_index(), tmp_path / "figure.png")


@pytest.mark.long
def test_recorded_are_the_layers_chosen_from(llama, vectors, tmp_path):
    run(llama, vectors, tmp_path, max_off_domain=0, leave_out_last=0.4)
    assert json.loads((tmp_path / "comparison.json").read_text())["selection"]["grid"][
        "layers"
    ] == [0, 1]


def test_domains_are_beside_those_of_the_paper(vectors):
    mixed = replace(vectors, roles=("poet", "lawyer"))
    assert homes_of(mixed, None, {"Poet": "verse"}) == {"poet": "verse", "lawyer": "law"}
    assert homes_of(mixed, ["lawyer"], {"lawyer": "verse"}) == {"lawyer": "verse"}


def test_roles_of_domains_without_questions_are_left_out(vectors):
    domains = {"poet": "verse", "cook": "food"}
    with pytest.warns(UserWarning, match="1 of 2 roles are left out: there are no .* of food"):
        assert homes_among(vectors, None, domains, ["verse"]) == {"poet": "verse"}
    assert homes_among(vectors, ["cook"], domains, ["verse"]) == {"cook": "food"}  # was asked for


@pytest.mark.long
def test_choosing_takes_one_gradient_for_roles_and_random_directions(llama, vectors, tmp_path):
    run(llama, vectors, tmp_path, max_off_domain=0)
    kept = {
        place.name: len(list(place.glob("gradient*")))
        for place in (tmp_path / "selection").iterdir()
    }
    assert kept == {"verse": 1, "food": 1}


OTHERS = {
    "seed (0 there, 3 here)": {"seed": 3},
    "n_random (20 there, 21 here)": {"n_random": 21},
    "max_questions (None there, 20 here)": {"max_questions": 20},
    "permutations": {"permutations": 300},
    "max_kl (None there, 0.5 here)": {"max_kl": 0.5},
    "coefficients ([1.0] there, [2.0] here)": {
        "grid": Grid(contrasts=None, screen=2, coefficients=(2.0,))
    },
    "roles (['poet', 'cook'] there, ['poet'] here)": {
        "grid": Grid(("poet",), contrasts=None, screen=2)
    },
    "scoring ('letter' there, 'cloze' here)": {"asking": Asking("cloze")},
    "questions": {"questions": TEST[:-1]},
    "validation": {"validation": [*VALIDATION, *ask("verse", 1, "more")]},
    "domains": {"domains": {"poet": "food", "cook": "food"}},
}


@pytest.mark.long
def test_another_comparison_in_the_same_folder_is_refused(llama, vectors, tmp_path):
    """By what differs, and before anything is written; the same one is repeated."""

    def files():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    table = run(llama, vectors, tmp_path, max_off_domain=0)
    before = files()
    for differs, options in OTHERS.items():
        with pytest.raises(RoleLensError) as caught:
            run(llama, vectors, tmp_path, **{"max_off_domain": 0, **options})
        assert "holds the results of another run, which differs in" in str(caught.value)
        assert differs in str(caught.value)
    with pytest.raises(RoleLensError, match=r"differs in run \('comparison' there, 'sweep' here\)"):
        sweep(llama, vectors, TEST[:4], tmp_path, compute=QUIET)
    assert files() == before
    again = run(llama, vectors, tmp_path, max_off_domain=0)
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domains": {"poet": "verse"}}, "role 'cook' has no domain"),
        ({"n_random": 19}, "n_random must be at least 20, got 19"),
        ({"validation": TEST}, "'food' has 0 validation .* aren't .* test questions too"),
        ({"validation": VALIDATION[1:]}, "domain 'verse' has 19 validation questions"),
        (
            {"domains": {"poet": "verse", "cook": "fish"}, "grid": Grid(("cook",), contrasts=None)},
            "'fish', but of: food, other, verse",
        ),
        ({"max_questions": 10}, "max_questions must be at least 20, got 10"),
        ({"max_validation": 19}, "max_validation must be at least 20, got 19"),
        ({"max_questions": 0}, "max_questions must be at least 20, got 0"),
        ({"max_questions": -1}, "max_questions must be at least 20, got -1"),
        ({"max_off_domain": 5}, r"must be 0 \(ask no other domains\) or at least 20, got 5"),
        ({"max_off_domain": -1}, r"max_off_domain must be 0 \(ask .*\) or at least 20, got -1"),
        ({"permutations": 0}, "permutations must be at least 1"),
        ({"seed": -1}, "must be at least 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*are test questions too")
def test_refused(llama, vectors, tmp_path, options, message):
    with pytest.raises(RoleLensError, match=message):
        run(llama, vectors, tmp_path, **options)


@pytest.mark.long
def test_another_sample_is_refused_before_the_choice(llama, vectors, tmp_path):
    run(llama, vectors, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "selection").rglob("*")}
    with pytest.raises(RoleLensError, match="another run, which differs in max_questions"):
        run(llama, vectors, tmp_path, max_questions=20)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "selection").rglob("*")}


def test_what_needs_no_model_is_checked_without_one(vectors):
    exam = Exam(TEST, VALIDATION, domains={"poet": "verse"})
    with pytest.raises(RoleLensError, match="role 'cook' has no domain"):
        check_exam(vectors, exam, Selection(), TestPlan())
    own = Exam(TEST, VALIDATION, domains=HOMES)
    with pytest.raises(RoleLensError, match="layer 7 is out of range"):
        check_exam(vectors, own, Selection(Grid(layers=(7,))), TestPlan())
    check_exam(vectors, own, Selection(), TestPlan())


def test_questions_are_tokenised_once_and_weights_are_hashed_once(
    llama, vectors, tmp_path, monkeypatch
):
    """However many rooms of a comparison need them; a persona prompt makes another text of one."""
    asked, read = Counter(), []
    tokenizer, model = type(llama.tokenizer), type(llama)
    encode, parameters = tokenizer.__call__, model.named_parameters

    def counted(self, text, *args, **options):
        asked[text] += 1
        return encode(self, text, *args, **options)

    monkeypatch.setattr(tokenizer, "__call__", counted)
    monkeypatch.setattr(model, "named_parameters", lambda self: read.append(1) or parameters(self))
    run(llama, vectors, tmp_path)
    questions = {text: n for text, n in asked.items() if re.search(r"Which \w+ is \d", text)}
    assert len(questions) > len(TEST) + len(VALIDATION)
    assert set(questions.values()) == {1}
    assert len(read) == 1


def test_scores_of_a_hooked_model_are_not_kept_as_its_own(llama, tmp_path):
    asked = Asker(llama, compute=QUIET).ask(TEST[:4])
    with (
        Patch.add(torch.ones(32), layer=1).on(llama),
        pytest.raises(RoleLensError, match="the model carries hooks"),
    ):
        score_conditions(asked, [baseline()], tmp_path, domain="verse", in_domain=True)


@pytest.mark.long
def test_the_record_says_how_it_was_asked(llama, vectors, tmp_path):
    run(llama, vectors, tmp_path, asking=Asking("cloze"))
    record = json.loads((tmp_path / "comparison.json").read_text())
    asked = {"scoring": "cloze", "template": "paper", "system": None, "examples": 0}
    assert record["asking"] == asked
    assert record["domains"] == HOMES
    assert record["vectors"]


def test_figure(compared, tmp_path):
    plot_comparison(compared[0], tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert np.isfinite(compared[0]["add"]).all()


def test_the_table_says_what_was_chosen(compared):
    table, _, choices = compared
    told = table.drop_duplicates("role").set_index("role")
    for column in ("contrast", "layer", "position", "coefficient"):
        assert told[column].to_dict() == choices[column].to_dict()


def test_persona_conditions_are_what_they_say(llama, vectors):
    """Both is the persona prompt's message with the addition's patch; it is judged and paired."""
    choice = Choice(DirectionSpec("poet", 1, -1, "base", 1.5), 0.1, 0.0, 0.0, 20, 2)
    conditions = {one.kind.value: one for one in persona_conditions("poet", choice.patch(vectors))}
    both, add, persona = (conditions[kind] for kind in ("both", "add", "persona"))
    assert both.system == persona.system == "You are a poet."
    assert not persona.patches
    assert add.system is None
    assert conditions["neutral_persona"].system == "You are a person."
    (patch,), (alone,) = both.patches, add.patches
    torch.testing.assert_close(patch.direction, alone.direction)
    assert patch.value == 1.5


def test_persona_and_vector_together(llama, vectors, tmp_path):
    """As `evaluate` scores them, and tested against the persona prompt alone."""
    choice = Choice(DirectionSpec("poet", 1, -1, "base", 1.5), 0.1, 0.0, 0.0, 20, 2)
    asked = TEST[:24]
    scores = score_conditions(
        Asker(llama, compute=QUIET).ask(asked),
        [baseline(), *persona_conditions("poet", choice.patch(vectors))],
        tmp_path,
        domain="verse",
        in_domain=True,
    )
    effects = judge([scores], permutations=100).set_index("kind")
    table = evaluate(
        llama,
        asked,
        {"both": choice.patch(vectors)},
        Asking(system="You are a poet."),
        compute=QUIET,
    )
    plain = evaluate(llama, asked, {"none": None}, compute=QUIET)
    expected = (table["margin"] - plain["margin"]).mean()
    assert effects.loc["both", "effect"] == pytest.approx(expected, abs=1e-5)
    pair = effects.loc["both_over_persona"]
    difference = effects.loc["both", "effect"] - effects.loc["persona", "effect"]
    assert pair["effect"] == pytest.approx(difference, abs=1e-6)


def test_nothing_to_judge(llama, vectors, tmp_path):
    """The tiny model knows nothing: that is said first, and nothing is chosen or tested."""
    with pytest.warns(UserWarning, match="carry no knowledge of food .*, verse .*: nothing to"):
        table = run(llama, vectors, tmp_path, judge_all=False)
    assert table["verdict"].str.contains("nothing to judge").tolist() == [True, True]
    assert not (tmp_path / "selection").exists()
    plot_comparison(table, tmp_path / "figure.png")


@pytest.fixture
def knowing(monkeypatch):
    """Scores of any model in which the right option stands 0.5 higher, so that it knows."""
    scores = AskedQuestions.option_scores

    def raised(self, logprobs):
        found = scores(self, logprobs)
        found[np.arange(len(self)), [one.answer for one in self.questions]] += 0.5
        return found

    monkeypatch.setattr(AskedQuestions, "option_scores", raised)


def test_what_is_known_is_judged(llama, vectors, tmp_path, knowing):
    table = run(llama, vectors, tmp_path, judge_all=False, max_off_domain=0, positive_controls=True)
    assert table["verdict"].str.contains("random").all()
    assert (table["knowledge"] > 0).all()
    positive = pd.read_parquet(tmp_path / "positive.parquet").set_index(["domain", "control"])
    assert positive["found"].dtype == bool
    for domain in ("food", "verse"):
        assert positive.loc[(domain, "planted"), "found"]
        assert (domain, "right answers") in positive.index
        assert (domain, "examples") in positive.index  # fewer: the tiny model's context is short
