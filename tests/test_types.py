"""Numbers, vectors, prompts and questions out of other people's hands: numpy, pandas, torch, lists,
strings. What is plainly meant is taken; all else is refused in one line."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import BASE, QUIET, ROLES

from role_lens import (
    Asking,
    Compute,
    DirectionSpec,
    Exam,
    Grid,
    Patch,
    Question,
    RoleLensError,
    RoleVectors,
    Sampling,
    Selection,
    TestPlan,
    compare,
    encode_chat,
    evaluate,
    generate,
    select,
    sweep,
)
from role_lens.checks import real_number, whole_number
from role_lens.directions import cosine_similarity
from role_lens.reading import Injection, logit_lens, patchscope, project_tokens
from role_lens.scoring import Generation, read_letter, read_number, score_generated

QUESTIONS = [Question(f"q{n}", f"What is {n}?", ("a", "b"), n % 2, "x", "x") for n in range(4)]
VECTOR = torch.linspace(-1, 2, 32)
GRID = np.ones((2, 2))  # which Python shows on two lines


pytestmark = pytest.mark.usefixtures("as_users_have_it")


@contextmanager
def refused(message):
    """Something is refused with this message, on one line."""
    with pytest.raises(RoleLensError, match=message) as error:
        yield
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "direction",
    [
        VECTOR.numpy(),
        VECTOR.numpy().astype(np.float64),
        VECTOR.tolist(),
        tuple(VECTOR.tolist()),
        pd.Series(VECTOR.numpy()),
        VECTOR[None],
        VECTOR[None, None].numpy(),
        VECTOR.double(),
        torch.nn.Parameter(VECTOR.clone()),
    ],
    ids=lambda d: f"{type(d).__name__}-{getattr(d, 'shape', len(d))}",
)
@pytest.mark.parametrize("kind", ["add", "ablate"])
def test_directions_from_elsewhere(llama, direction, kind):
    wanted = Patch.of(kind, VECTOR, layer=1, value=2.0)
    made = Patch.of(kind, direction, layer=np.int64(1), value=np.float32(2))
    assert torch.allclose(made.direction, wanted.direction)
    assert made.direction.dtype == torch.float32
    assert not made.direction.requires_grad
    texts = [generate(llama, "Hi", patch=one, max_new_tokens=3) for one in (made, wanted)]
    assert texts[0] == texts[1]


def test_whole_numbers_are_a_direction():
    assert Patch.add(torch.ones(32, dtype=torch.long), layer=1).direction.dtype == torch.float32


@pytest.mark.parametrize(
    ("direction", "message"),
    [
        (torch.stack([VECTOR] * 3), r"one vector of d_model numbers, got shape \(3, 32\): choose"),
        (torch.tensor(2.0), "a vector of numbers, got a single number"),
        (3, "a vector of numbers, got a single number"),
        ([], r"got shape \(0,\)"),
        ("economist", "a vector of numbers, got str"),
        (None, "a vector of numbers, got (NoneType|a single number)"),
        ({"layer": VECTOR}, "a vector of numbers, got dict"),
        (["a", "b"], "a vector of numbers, got list"),
        (VECTOR * float("nan"), "finite"),
        (torch.zeros(32), "zero"),
    ],
)
@pytest.mark.parametrize("kind", ["add", "ablate"])
def test_what_is_no_direction(direction, message, kind):
    with refused(message):
        Patch.of(kind, direction, layer=1)


@pytest.mark.parametrize(
    "three",
    [3, 3.0, "3", " 3 ", np.int32(3), np.array(3), np.array([3]), torch.tensor(3), np.float64(3)],
)
def test_what_is_a_whole_number(three, vectors):
    assert whole_number(three, "n") == 3
    assert type(whole_number(three, "n")) is int
    assert real_number(three, "n") == 3.0
    assert DirectionSpec("poet", three, coefficient=three).layer == 3
    assert Compute(max_tokens=three).max_tokens == 3
    assert Sampling(batch_size=three, seed=three).batch_size == 3
    assert Generation(max_new_tokens=three).length == 3


@pytest.mark.parametrize(
    "wrong",
    [None, "three", 3.5, float("nan"), True, [3], np.array([1, 2]), torch.ones(2), {}, GRID],
)
def test_what_is_no_whole_number(wrong, vectors, llama):
    uses = {
        "layer": lambda: vectors.add("poet", layer=wrong),
        "a layer": lambda: Patch.add(VECTOR, layer=[wrong]),
        "position": lambda: vectors.direction("poet", layer=1, position=wrong),
        "max_new_tokens": lambda: generate(llama, "Hi", max_new_tokens=wrong),
        "seed": lambda: Sampling(seed=wrong),
    }
    for name, use in uses.items():
        with refused(f"{name} must be a whole number, got"):
            use()


@pytest.mark.parametrize(
    "wrong", [None, "much", float("inf"), float("nan"), [1.0, 2.0], True, GRID]
)
def test_what_is_no_number(wrong, vectors):
    for use in (
        lambda: Patch.add(VECTOR, layer=1, coefficient=wrong),
        lambda: Patch.clamp(VECTOR, layer=1, value=wrong),
        lambda: Sampling(temperature=wrong),
        lambda: Generation(temperature=wrong),
        lambda: vectors.add("poet", layer=1, coefficient=wrong),
    ):
        with refused(r"must be (a number|finite)|needs a coefficient"):
            use()


PROMPTS = [
    lambda texts: pd.Series(texts),
    lambda texts: np.array(texts),
    lambda texts: tuple(texts),
    lambda texts: (text for text in texts),
    lambda texts: pd.DataFrame({"prompt": texts})["prompt"],
    lambda texts: [np.str_(text) for text in texts],
]


@pytest.mark.parametrize("of", PROMPTS)
def test_prompts_from_elsewhere(llama, vectors, of):
    found = RoleVectors.fit(
        llama, {role: of(some) for role, some in ROLES.items()}, of(BASE),
        positions=np.array([-2, -1]), compute=QUIET,
    )  # fmt: skip
    assert torch.equal(found.role_means, vectors.role_means)
    assert found.provenance["role_prompts_sha256"] == vectors.provenance["role_prompts_sha256"]
    assert found.prompts.base == BASE
    assert encode_chat(llama, of(BASE)) == encode_chat(llama, BASE)
    assert generate(llama, of(BASE), max_new_tokens=2) == generate(llama, BASE, max_new_tokens=2)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("Rhyme?", "expected a list of"),
        (None, "expected a list of"),
        (3, "expected a list of"),
        ({"a": "Rhyme?"}, "expected a list of .*, got dict"),
        (pd.DataFrame({"a": ["Rhyme?"]}), "expected a list of .*, got DataFrame"),
        ([None], "number 0 is not a string: None"),
        ([float("nan")], "number 0 is not a string: nan"),
        ([["Rhyme?"]], "number 0 is not a string"),
        ([], "at least one of the"),
        (pd.Series([], dtype=object), "at least one of the"),
        ([" "], "prompt 0 is empty"),
    ],
)
def test_what_are_no_prompts(llama, prompts, message):
    for use in (
        lambda: RoleVectors.fit(llama, {"poet": prompts}, BASE, compute=QUIET),
        lambda: RoleVectors.fit(llama, ROLES, prompts, compute=QUIET),
        lambda: encode_chat(llama, prompts),
    ):
        with refused(message):
            use()


@pytest.mark.parametrize(
    "roles", [["poet"], "poet", None, GRID, pd.DataFrame({"poet": ["Rhyme?"]})]
)
def test_roles_must_be_a_mapping(llama, roles):
    with refused("roles must be a mapping"):
        RoleVectors.fit(llama, roles, BASE, compute=QUIET)


QUESTION_LISTS = [
    tuple,
    pd.Series,
    lambda some: np.array(some, dtype=object),
    lambda some: (one for one in some),
]


@pytest.mark.parametrize("of", QUESTION_LISTS)
def test_questions_from_elsewhere(llama, vectors, tmp_path, of):
    patches = {"b": None}
    expected = evaluate(llama, QUESTIONS, patches, compute=QUIET)
    assert evaluate(llama, of(QUESTIONS), patches, compute=QUIET).equals(expected)
    grid = Grid(roles=("poet",), layers=(1,))
    assert len(sweep(llama, vectors, of(QUESTIONS), tmp_path, grid, compute=QUIET)) == 3


def test_identifiers_of_several_types(llama, vectors, tmp_path):
    questions = [
        Question(1, "Q?", ("a", "b"), 0, "x", "x"),
        Question("z", "Z?", np.array(["a", "b"]), np.int64(1), "x", "x"),
        *(Question(f"q{i}", f"{i}?", ("a", "b"), i % 2, "x", "x") for i in range(4)),
    ]
    table = sweep(llama, vectors, questions, tmp_path, Grid(layers=(1,)), compute=QUIET)
    assert len(table)
    assert questions[0].id == "1"
    assert questions[1].choices == ("a", "b")


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        (QUESTIONS[0], "must be a list of Question"),
        ("Q?", "must be a list of Question"),
        (None, "must be a list of Question"),
        ({"q": QUESTIONS[0]}, "must be a list of Question, got dict: {'q'"),
        (pd.DataFrame({"question": ["Q?"]}), "load_questions makes questions"),
        ([QUESTIONS[0], "Q?"], "number 1 is 'Q\\?'"),
        (GRID, r"number 0 is array\(\[1., 1.\]\)"),
        ([QUESTIONS[0], GRID], "number 1 is array"),
        ([], "at least one question"),
    ],
)
def test_what_are_no_questions(llama, questions, message):
    with refused(message):
        evaluate(llama, questions, {"b": None}, compute=QUIET)


@pytest.mark.parametrize("patches", [Patch.add(VECTOR, layer=1), [None], None, "add", GRID])
def test_patches_must_be_a_mapping(llama, patches):
    with refused("patches must be a mapping of names to patches"):
        evaluate(llama, QUESTIONS, patches, compute=QUIET)


@pytest.mark.parametrize("patches", [[None], None])
def test_patches_of_written_answers(llama, patches):
    with refused("patches must be a mapping of names to patches"):
        score_generated(llama, QUESTIONS, patches, progress=False)


@pytest.mark.parametrize("patch", ["add", 3, {"p": Patch.add(VECTOR, layer=1)}, [VECTOR], GRID])
def test_what_is_no_patch(llama, patch):
    with refused("expected a Patch"):
        generate(llama, "Hi", patch=patch)
    with refused("expected a Patch"):
        evaluate(llama, QUESTIONS, {"p": patch}, compute=QUIET)


def test_questions_of_an_exam():
    exam = Exam(pd.Series(QUESTIONS), validation=tuple(QUESTIONS), asking=Asking())
    assert list(exam.questions) == QUESTIONS
    with refused("validation must be a list of Question"):
        Exam(QUESTIONS, validation="val.jsonl")
    with refused("domains must be a mapping"):
        Exam(QUESTIONS, domains=GRID)


@pytest.mark.parametrize(
    "use",
    [
        lambda m, v: evaluate(m, QUESTIONS, {"b": None}, "cloze"),
        lambda m, v: evaluate(m, QUESTIONS, {"b": None}, compute=512),
        lambda m, v: evaluate(m, QUESTIONS, {"b": None}, Asking("generate"), generation={"n": 1}),
        lambda m, v: generate(m, "Hi", sampling=0.7),
        lambda m, v: sweep(m, v, QUESTIONS, "run", Selection()),
        lambda m, v: select(m, v, QUESTIONS, "run", Grid()),
        lambda m, v: compare(m, v, QUESTIONS, "run"),
        lambda m, v: compare(m, v, Exam(QUESTIONS), "run", TestPlan()),
        lambda m, v: RoleVectors.fit(m, ROLES, BASE, compute=512),
        lambda m, v: patchscope(m, VECTOR[None], 1),
        lambda m, v: Selection(None),
        lambda m, v: Exam(QUESTIONS, asking="cloze"),
    ],
)
def test_records_of_another_kind(llama, vectors, tmp_path, monkeypatch, use):
    monkeypatch.chdir(tmp_path)
    with refused(r"must be an? [A-Z]\w+, got "):
        use(llama, vectors)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("field", ["n_random", "n_shuffled", "permutations", "seed"])
def test_numbers_that_a_plan_needs(field):
    with refused(f"{field} must be a whole number, got None"):
        TestPlan(**{field: None})


@pytest.mark.parametrize("make", [np.asarray, lambda x: x.tolist(), lambda x: x.double()])
def test_readings_take_vectors_from_elsewhere(llama, make):
    rows = torch.stack([VECTOR, VECTOR.flip(0)])
    assert logit_lens(llama, make(rows), top_k=3) == logit_lens(llama, rows, top_k=3)
    scope = [
        patchscope(llama, one, Injection(np.int64(1)), max_new_tokens=2)
        for one in (rows, make(rows))
    ]
    assert scope[0] == scope[1]
    views = [project_tokens(llama, "Hi", one, layer=1) for one in (VECTOR, make(VECTOR))]
    assert views[0] == views[1]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"layer": 1.5}, "layer must be a whole number, got 1.5"),
        ({"layer": None}, "layer must be a whole number, got None"),
        ({"layer": 1, "scale": None}, "scale must be a number, got None"),
    ],
)
def test_numbers_of_an_injection(llama, numbers, message):
    with refused(message):
        patchscope(llama, VECTOR[None], Injection(**numbers))


def test_grids_from_elsewhere():
    found = Grid(layers=np.array([1, 2]), positions=-1, coefficients=torch.tensor([1.0, 2.0]))
    assert found == Grid(layers=(1, 2), positions=(-1,), coefficients=(1.0, 2.0))
    single = Grid(layers=np.array(3), coefficients=torch.tensor(2.0), roles=pd.Series(["poet"]))
    assert single == Grid(layers=(3,), coefficients=(2.0,), roles=("poet",))
    for options in ({"layers": "x"}, {"layers": [None]}, {"roles": 3}, {"coefficients": [GRID]}):
        with refused("must be"):
            Grid(**options)


@pytest.mark.parametrize("text", [None, float("nan"), 42, b"B"])
def test_answers_are_read_from_texts(text):
    for read in (lambda: read_letter(text, ["a", "b"]), lambda: read_number(text)):
        with pytest.raises(RoleLensError, match="a text must be a string, got"):
            read()


@pytest.mark.parametrize("choices", [4, [], None, "ab"])
def test_letters_are_those_of_options(choices):
    with pytest.raises(RoleLensError, match="expected the texts of the options, got"):
        read_letter("B", choices)


def test_cosines_of_numpy_directions():
    rows = torch.stack([VECTOR, VECTOR.flip(0)])
    assert torch.allclose(cosine_similarity(rows.numpy()), cosine_similarity(rows))
