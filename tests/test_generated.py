from fractions import Fraction

import pandas as pd
import pytest
import torch
from tiny import QUIET

from role_lens import (
    Asking,
    Generation,
    NumericQuestion,
    Patch,
    Question,
    RoleLensError,
    evaluate,
    load_numeric_questions,
    summarize,
)
from role_lens.generation import Completion, complete
from role_lens.scoring.generated import question_prompt

QUESTIONS = [
    Question("q0", "Which city? ", ("Rome", "Oslo"), 1, "s", "d"),
    Question("q1", "Which sea?", ("Baltic", "Red", "Dead"), 0, "s", "d"),
    Question("q2", "Which hill?", ("This", "That"), 0, "s", "d"),
]


@pytest.fixture
def written(monkeypatch):
    """The model writes what the test says, and the prompts are kept."""
    asked = []

    def set_texts(*completions):
        def write(model, prompts, **options):
            asked.append((list(prompts), options))
            return [Completion(*completion) for completion in completions]

        monkeypatch.setattr("role_lens.scoring.generated.complete", write)
        return asked

    return set_texts


def test_answers_are_read_and_never_guessed(llama, written):
    written(("The answer is (B).", False), ("I think A or C, maybe", True), ("Well", False))
    table = evaluate(llama, QUESTIONS, {"baseline": None}, asking=Asking("generate"), compute=QUIET)
    assert table["predicted"].tolist() == ["B", pd.NA, pd.NA]
    assert table["answer"].tolist() == ["B", "A", "A"]
    assert table["correct"].tolist() == [True, False, False]
    assert table["readable"].tolist() == [True, False, False]
    assert table["truncated"].tolist() == [False, True, False]
    (row,) = summarize(table).to_dict("records")
    assert row["accuracy"] == pytest.approx(1 / 3)
    assert row["chance"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)
    assert (row["truncated"], row["unreadable"]) == pytest.approx((1 / 3, 2 / 3))


def test_numbers(llama, written, tmp_path):
    file = tmp_path / "sums.jsonl"
    file.write_text(
        '{"question": "Six sevens?", "answer": "6 * 7 = 42\\n#### 42"}\n'
        '{"question": "A lot?", "answer": "#### 1,200"}\n'
        '{"question": "Half of one?", "answer": 0.5, "id": "half"}\n'
    )
    questions = load_numeric_questions(file)
    assert questions[2] == NumericQuestion("half", "Half of one?", Fraction(1, 2), "sums", "sums")
    asked = written(("So 42.\nThe answer is 42.", False), ("$1,200", False), ("None.", False))
    table = evaluate(llama, questions, {"b": None}, asking=Asking("generate"), compute=QUIET)
    assert table["correct"].tolist() == [True, True, False]
    assert table["n_choices"].isna().all()
    assert "The answer is N" in asked[0][0][0]
    assert summarize(table)["accuracy"].item() == pytest.approx(2 / 3)


def test_prompts():
    assert question_prompt(QUESTIONS[0], "direct") == (
        "Which city?\nA. Rome\nB. Oslo\n\n"
        'Answer only with "The answer is (X)", where X is the letter of the correct answer.'
    )
    assert "Think step by step. Finish with" in question_prompt(QUESTIONS[0], "chain")


def test_options_reach_the_model(llama, written):
    asked = written(*[("A", False)] * 3)
    how = Generation(style="chain", temperature=0.7, seed=3, batch_size=2)
    evaluate(
        llama, QUESTIONS, {"b": None}, asking=Asking("generate"), generation=how, compute=QUIET
    )
    options = asked[0][1]
    assert options["max_new_tokens"] == 512
    assert (options["temperature"], options["seed"], options["batch_size"]) == (0.7, 3, 2)


def test_reasoning_that_the_template_opens_is_no_answer(llama, written, monkeypatch):
    template = "{{ messages[0].content }} {% if add_generation_prompt %}<think>\n{% endif %}"
    monkeypatch.setattr(llama.tokenizer, "chat_template", template)
    written(("so the answer is B", True), ("so A.</think>The answer is B", False), ("B", True))
    table = evaluate(llama, QUESTIONS, {"b": None}, asking=Asking("generate"), compute=QUIET)
    assert table["predicted"].tolist() == [pd.NA, "B", pd.NA]
    assert table["text"].tolist()[0] == "so the answer is B"


def test_patches_are_checked_before_any_text(llama, written):
    asked = written(*[("A", False)] * 3)
    patches = {"none": None, "wrong": Patch.add(torch.ones(7), layer=1)}
    with pytest.raises(RoleLensError, match="7 dimensions"):
        evaluate(llama, QUESTIONS, patches, asking=Asking("generate"), compute=QUIET)
    assert not asked


def test_patched_text(llama):
    """A direction along a letter's unembedding makes the model write that letter."""
    (letter,) = llama.tokenizer("B", add_special_tokens=False)["input_ids"]
    weight = llama.original_model.lm_head.weight.detach()[letter]
    patches = {"none": None, "B": Patch.add(weight, layer=2, coefficient=1e4)}
    how = Generation(max_new_tokens=1)
    options = {"scoring": "generate", "generation": how, "progress": False}
    table = evaluate(llama, QUESTIONS, patches, **options).set_index(["patch", "question_id"])
    assert table.loc["B"]["text"].tolist() == ["B"] * 3
    assert table.loc["B"]["predicted"].tolist() == ["B"] * 3
    assert table.loc["B"]["truncated"].all()
    assert not llama.hook_dict["blocks.2.hook_resid_pre"].fwd_hooks


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batches_make_no_difference(model, temperature):
    prompts = ["Go.", "Tell me, at some length, what you had today.", "And then?", "Why?"]
    direction = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    options = {"max_new_tokens": 6, "temperature": temperature, "seed": 5}
    options["patch"] = Patch.add(direction, layer=1)
    together = complete(model, prompts, **options)
    assert complete(model, prompts, batch_size=1, **options) == together
    assert complete(model, prompts, batch_size=2, **options) == together


def test_batches_have_no_more_rows_than_said(llama, monkeypatch):
    from role_lens import generation

    rows = []

    def count(model, batch, *args):
        rows.append(len(batch.index))
        return [([], False)] * len(batch.index)

    monkeypatch.setattr(generation, "_continue", count)
    prompts = ["Go.", "Tell me, at some length, what you had today. " * 4, *"abcde"]
    complete(llama, prompts, max_new_tokens=2, batch_size=3)
    assert rows == [3, 3, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scoring": "generate", "generation": Generation(batch_size=0)}, "batch_size must be"),
        ({"scoring": "generate", "generation": Generation(max_new_tokens=0)}, "at least 1"),
        ({"scoring": "generate", "examples": QUESTIONS}, "examples are for letter and cloze"),
    ],
)
def test_refused(llama, options, message):
    with pytest.raises(RoleLensError, match=message):
        evaluate(llama, QUESTIONS, {"b": None}, compute=QUIET, **options)


def test_more_choices_than_letters(llama):
    many = Question("m", "Which?", tuple(map(str, range(30))), 3, "s", "d")
    with pytest.raises(RoleLensError, match="30 choices, more than there are letters"):
        evaluate(llama, [many], {"b": None}, asking=Asking("generate"), compute=QUIET)


def test_numbers_are_for_generated_answers(llama):
    question = NumericQuestion("n", "How many?", Fraction(3), "s", "d")
    with pytest.raises(RoleLensError, match="are for scoring='generate', not 'letter'"):
        evaluate(llama, [question], {"b": None}, compute=QUIET)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "How many?", "answer": "a few"}', "expected a number"),
        ('{"question": "How many?"}', "expected a number"),
        ('{"question": 3, "answer": 3}', "expected a string"),
        ('{"question": " ", "answer": 3}', "the text is empty"),
        ("", "holds no questions"),
        ('{"question": "How many?", "answer": 3, "domain": "e"}', "no questions of domain 'd'"),
    ],
)
def test_bad_numeric_files(tmp_path, line, message):
    file = tmp_path / "n.jsonl"
    file.write_text(line)
    with pytest.raises(RoleLensError, match=message):
        load_numeric_questions(file, domain="d" if "domain" in line else None)
