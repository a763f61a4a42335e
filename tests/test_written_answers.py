"""Answers that a model writes in a role: what is kept, what a stopped run does, the directions."""

import json
import math
from dataclasses import replace

import pytest
import torch
from tiny import BASE, QUIET, ROLES

from role_lens import (
    Asking,
    Patch,
    Question,
    RoleLensError,
    RoleVectors,
    Sampling,
    activations_at,
    encode_chat,
    evaluate,
    generate,
    persona_prompts,
)
from role_lens._run.activations import tail_means
from role_lens.finders import FINDERS, learned
from role_lens.writing import AnswerOptions, write_answers
from role_lens.written_answers import read_answers

QUESTIONS = ("What matters?", "Whom do you trust?", "Why wait?", "What did you learn today?")
OPTIONS = AnswerOptions(QUESTIONS, n_phrasings=2, max_new_tokens=6, within=1.0)


def test_means_over_the_last_tokens_are_those_of_single_tokens(model):
    sequences = encode_chat(model, ["Tea?", "A longer prompt, of several words.", "Lunch!"])
    lengths = [3, 9, 1]
    found = tail_means(model, sequences, lengths)
    for ids, length, mean in zip(sequences, lengths, found, strict=True):
        for layer in range(model.cfg.n_layers):
            places = [(layer, -1 - i) for i in range(length)]
            alone = activations_at(model, [ids], places)[:, 0].mean(dim=0)
            torch.testing.assert_close(mean[layer], alone, rtol=2e-4, atol=2e-5)


def test_every_role_answers_every_question(llama, tmp_path):
    found = write_answers(llama, ["poet", "ship cook"], tmp_path, OPTIONS, QUIET)
    asked = [(one.role, one.system, one.question) for one in found]
    assert asked == [
        *((None, None, question) for question in QUESTIONS),
        *(
            (role, system, question)
            for role in ("poet", "ship cook")
            for system in persona_prompts(role)[:2]
            for question in QUESTIONS
        ),
    ]
    assert all(one.rank is None for one in found[:4])
    assert all(1 <= one.rank <= 31 for one in found[4:])  # of these and the 29 built-in roles
    assert all(one.kept == bool(one.answer) for one in found)


def test_the_role_judge_leaves_answers_out(llama, tmp_path):
    options = AnswerOptions(QUESTIONS, n_phrasings=2, max_new_tokens=6, within=0.3)
    found = write_answers(llama, ["poet"], tmp_path, options, QUIET)
    in_role = [one for one in found if one.role]
    assert {one.kept for one in in_role} == {one.rank <= 9 for one in in_role} == {True, False}


def test_a_stopped_run_goes_on(llama, tmp_path, monkeypatch):
    whole = write_answers(llama, ["poet", "ship cook"], tmp_path / "whole", OPTIONS, QUIET)
    run = tmp_path / "run"
    write_answers(llama, ["poet", "ship cook"], run, OPTIONS, QUIET)
    written = {file.name: file.stat().st_mtime_ns for file in run.glob("*.parquet")}
    assert len(written) == 3
    (lost,) = [name for name in written if name.startswith("role")][:1]
    (run / lost).unlink()
    (run / "answers.jsonl").unlink()
    with pytest.raises(RoleLensError, match="writing may have been stopped"):
        RoleVectors.fit(llama, ROLES, BASE, finder=FINDERS["answers"](run), compute=QUIET)
    assert write_answers(llama, ["poet", "ship cook"], run, OPTIONS, QUIET) == whole
    again = {file.name: file.stat().st_mtime_ns for file in run.glob("*.parquet")}
    assert {name for name in written if again[name] != written[name]} == {lost}
    assert (run / "answers.jsonl").read_text() == (tmp_path / "whole" / "answers.jsonl").read_text()
    fewer = replace(OPTIONS, within=0.1)  # judged anew, and not written
    assert write_answers(llama, ["poet", "ship cook"], run, fewer, QUIET) != whole
    with pytest.raises(RoleLensError, match="another run, which differs in roles"):
        write_answers(llama, ["poet"], run, OPTIONS, QUIET)


def test_a_direction_is_the_difference_of_the_answers(llama, tmp_path):
    """Found by hand, an answer at a time; what the role judge leaves out has no part in it."""
    write_answers(llama, list(ROLES), tmp_path, OPTIONS, QUIET)
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    rows[-1]["kept"] = False
    file = tmp_path / "chosen.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    vectors = RoleVectors.fit(
        llama, ROLES, BASE, finder=FINDERS["answers"](file), positions=[-2, -1], compute=QUIET
    )
    assert vectors.contrasts == ("base", "roles", "answers")
    assert vectors.directions("answers")[:, 0].isnan().all()  # a mean over tokens has one place
    assert vectors.provenance["finder_options"] == {"answers": str(file)}

    def mean(role):
        parts = []
        for row in rows:
            if row["role"] != role or not row["kept"] or not row["answer"]:
                continue
            (prompt,) = encode_chat(llama, [row["question"]], row["system"])
            answer = llama.tokenizer.encode(row["answer"], add_special_tokens=False)
            places = [(2, -1 - i) for i in range(len(answer))]
            parts.append(activations_at(llama, [[*prompt, *answer]], places)[:, 0].mean(dim=0))
        return torch.stack(parts).mean(dim=0)

    for role in ROLES:
        found = vectors.direction(role, layer=2, position=-1, contrast="answers")
        torch.testing.assert_close(found, mean(role) - mean(None), rtol=1e-3, atol=1e-5)
        assert vectors.add(role, layer=2, contrast="answers").layers == (2,)


@pytest.mark.usefixtures("as_users_have_it")
def test_refused(llama, tmp_path):
    def fit(**options):
        finder = FINDERS["answers"](**options)
        RoleVectors.fit(llama, ROLES, BASE, finder=finder, positions=[-1], compute=QUIET)

    with pytest.raises(RoleLensError, match="write them with `role-lens answers`"):
        RoleVectors.fit(llama, ROLES, BASE, finder="answers", positions=[-1], compute=QUIET)
    with pytest.raises(RoleLensError, match="nowhere"):
        fit(answers=tmp_path / "nowhere.jsonl")
    file = tmp_path / "few.jsonl"
    row = {"role": "poet", "system": "You are a poet.", "question": "Why?", "answer": "Yes."}
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(RoleLensError, match="holds 0 plain answers, and at most 1 that are kept"):
        fit(answers=file)
    for field, value in (("answer", 3), ("question", None), ("system", 1), ("kept", "yes")):
        file.write_text(json.dumps(row | {field: value}) + "\n")
        with pytest.raises(RoleLensError, match=f"few.jsonl, line 1.*{field}"):
            fit(answers=file)
    for roles in ([], "poet", ["poet", "Poet"], [3]):
        with pytest.raises(RoleLensError):
            write_answers(llama, roles, tmp_path / "run", OPTIONS, QUIET)
    for wrong in ({"questions": []}, {"n_phrasings": 7}, {"within": 0}, {"max_new_tokens": 0}):
        with pytest.raises(RoleLensError):
            AnswerOptions(**wrong)


def written_under(llama, questions, seed):
    """Answers of a poet that were written with a vector added at layer 1, and plain ones."""
    vector = torch.randn(32, generator=torch.Generator().manual_seed(3))
    patch = Patch.add(6 * vector / vector.norm(), layer=1)
    rows = []
    for role, one in (("poet", patch), (None, None)):
        sampling = Sampling(temperature=1.0, seed=seed + (role is None))
        texts = generate(llama, questions, patch=one, max_new_tokens=8, sampling=sampling)
        system = None if role is None else "You are a poet."
        rows += [
            {"role": role, "system": system, "question": question, "answer": text or "-"}
            for question, text in zip(questions, texts, strict=True)
        ]
    return rows


@pytest.fixture
def steered_answers(llama, tmp_path):
    rows = written_under(llama, [f"What of {word}?" for word in range(30)], seed=1)
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_learned_vector_prefers_other_answers_of_its_role_too(llama, steered_answers):
    """More than any of 20 random ones of its length; it is kept step by step."""
    finder = FINDERS["learned"](steered_answers, layers=(1,), length=3.0, steps=8, seed=1)
    some = {"poet": ROLES["poet"]}

    def fit():
        vectors = RoleVectors.fit(llama, some, BASE, finder=finder, positions=[-1], compute=QUIET)
        return vectors.direction("poet", layer=1, position=-1, contrast="learned")

    found = fit()
    assert float(found.norm()) <= 3.001
    rows = written_under(llama, [f"Why {word}?" for word in range(30)], seed=7)
    questions = [
        Question(str(i), own["question"], (own["answer"], plain["answer"]), 0, "s", "d")
        for i, (own, plain) in enumerate(zip(rows[:30], rows[30:], strict=True))
        if own["answer"] != plain["answer"]
    ]
    generator = torch.Generator().manual_seed(0)
    random = torch.nn.functional.normalize(torch.randn(20, 32, generator=generator), dim=-1)
    directions = {"none": torch.zeros(32), "learned": found}
    directions |= {str(i): float(found.norm()) * one for i, one in enumerate(random)}
    patches = {
        name: Patch.add(one, layer=1) if one.any() else None for name, one in directions.items()
    }
    table = evaluate(llama, questions, patches, Asking("cloze"), compute=QUIET)
    preference = (table["logprob_0"] - table["logprob_1"]).groupby(table["patch"]).mean()
    more = preference - preference["none"]
    assert more["learned"] > more.drop(["none", "learned"]).max()

    steps = sorted((steered_answers.parent / "learned").glob("*.npy"))
    written = [step.stat().st_mtime_ns for step in steps]
    steps[-1].unlink()
    torch.testing.assert_close(fit(), found, rtol=1e-4, atol=1e-5)
    assert [step.stat().st_mtime_ns for step in steps[:-1]] == written[:-1]


def test_the_gradient_of_learning_is_that_of_its_objective(llama, steered_answers):
    """By finite differences, of both directions; inside the finder, since a fit shows only where
    many steps lead."""
    pairs = learned._pairs(llama, read_answers(steered_answers), "poet")
    plain = learned._differences(llama, pairs, 1)
    generator = torch.Generator().manual_seed(5)
    vector, way = torch.randn(2, 32, generator=generator) / 10
    gradient = learned._gradient(llama, pairs, plain, 1, vector)
    step = 0.02
    ahead, back = (
        learned._gain(llama, pairs, plain, 1, vector + sign * step * way) for sign in (1, -1)
    )
    assert float(gradient @ way) == pytest.approx((ahead - back) / (2 * step), rel=0.02)
    assert learned._gain(llama, pairs, plain, 1, 0 * vector) == pytest.approx(-math.log(2))


@pytest.mark.usefixtures("as_users_have_it")
def test_learning_is_refused(llama, steered_answers):

    def fit(**options):
        finder = FINDERS["learned"](steered_answers, **options)
        RoleVectors.fit(llama, ROLES, BASE, finder=finder, positions=[-1], compute=QUIET)

    with pytest.raises(RoleLensError, match="needs answers and layers"):
        FINDERS["learned"](steered_answers)
    with pytest.warns(UserWarning, match="of cook: no direction is learned for them"):
        fit(layers=(1,), length=3.0, steps=1)
    with pytest.raises(RoleLensError, match="layer 7 is out of range"):
        fit(layers=(7,))
    for wrong in ({"steps": 0}, {"rate": 0}, {"momentum": 1}, {"length": 0}, {"layers": ()}):
        with pytest.raises(RoleLensError):
            FINDERS["learned"](**{"answers": steered_answers, "layers": (1,)} | wrong)
