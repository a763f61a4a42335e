from contextlib import contextmanager
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
    Sampling,
    evaluate,
    generate,
    load_numeric_questions,
    summarize,
)
from role_lens._run.padding import ignores_padding
from role_lens.generation import complete
from role_lens.scoring.generated import question_prompt

GENERATE = Asking("generate")
QUESTIONS = [
    Question("q0", "Which city? ", ("Rome", "Oslo"), 1, "s", "d"),
    Question("q1", "Which sea?", ("Baltic", "Red", "Dead"), 0, "s", "d"),
    Question("q2", "Which hill?", ("This", "That"), 0, "s", "d"),
]


@contextmanager
def writing(model, texts):
    """The model writes what the test says, token by token, and the formatted prompts are kept.

    Args:
        texts: a question's text -> what it answers to it, and whether it goes on to the limit.
    """
    end, space = model.tokenizer.eos_token_id, model.tokenizer(" ")["input_ids"]
    scripts, asked, step = [], [], 0
    ignores_padding(model)  # found out once for a model, by a pass on other tokens

    def read(module, args, options):
        nonlocal step
        tokens, step = args[0], step + 1
        if tokens.shape[1] == 1:
            return
        prompts = [model.tokenizer.decode(row) for row in tokens]
        asked.append(prompts)
        step = 0
        scripts[:] = [next(texts[q] for q in texts if q.strip() in prompt) for prompt in prompts]

    def write(x, hook):
        forced = torch.full_like(x, -1e4)
        for row, (text, goes_on) in enumerate(scripts):
            ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
            rest = space if goes_on else [end]
            forced[row, :, (ids + rest * 999)[step]] = 0.0
        return forced

    handle = model.register_forward_pre_hook(read, with_kwargs=True)
    try:
        with model.hooks(fwd_hooks=[("unembed.hook_out", write)]):
            yield asked
    finally:
        handle.remove()


def answered(model, questions, *texts, **options):
    """The scores of questions to which the model writes these texts, and the prompts of each
    batch."""
    written = {question.question: text for question, text in zip(questions, texts, strict=True)}
    with writing(model, written) as asked:
        return evaluate(model, questions, {"b": None}, GENERATE, compute=QUIET, **options), asked


def test_answers_are_read_and_never_guessed(llama):
    texts = ("The answer is (B).", False), ("I think A or C, maybe", True), ("Well", False)
    table, _ = answered(llama, QUESTIONS, *texts)
    assert table["predicted"].tolist() == ["B", pd.NA, pd.NA]
    assert table["answer"].tolist() == ["B", "A", "A"]
    assert table["correct"].tolist() == [True, False, False]
    assert table["readable"].tolist() == [True, False, False]
    assert table["truncated"].tolist() == [False, True, False]
    assert table["text"].tolist() == [text for text, _ in texts]
    (row,) = summarize(table).to_dict("records")
    assert row["accuracy"] == pytest.approx(1 / 3)
    assert row["chance"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)
    assert (row["truncated"], row["unreadable"]) == pytest.approx((1 / 3, 2 / 3))


def test_numbers(llama, tmp_path):
    file = tmp_path / "sums.jsonl"
    file.write_text(
        '{"question": "Six sevens?", "answer": "6 * 7 = 42\\n#### 42"}\n'
        '{"question": "A lot?", "answer": "#### 1,200"}\n'
        '{"question": "Half of one?", "answer": 0.5, "id": "half"}\n'
    )
    questions = load_numeric_questions(file)
    assert questions[2] == NumericQuestion("half", "Half of one?", Fraction(1, 2), "sums", "sums")
    texts = ("So 42.\nThe answer is 42.", False), ("$1,200", False), ("None.", False)
    table, asked = answered(llama, questions, *texts)
    assert table["correct"].tolist() == [True, True, False]
    assert table["n_choices"].isna().all()
    assert all("The answer is N" in prompt for batch in asked for prompt in batch)
    assert summarize(table)["accuracy"].item() == pytest.approx(2 / 3)


def test_prompts():
    assert question_prompt(QUESTIONS[0], "direct") == (
        "Which city?\nA. Rome\nB. Oslo\n\n"
        'Answer only with "The answer is (X)", where X is the letter of the correct answer.'
    )
    assert "Think step by step. Finish with" in question_prompt(QUESTIONS[0], "chain")


def test_options_reach_the_model(llama):
    """The texts are those of `generate`, with the same prompts and the same sampling."""
    how = Generation("chain", max_new_tokens=6, temperature=0.7, seed=3, batch_size=2)
    table = evaluate(llama, QUESTIONS, {"b": None}, GENERATE, generation=how, compute=QUIET)
    prompts = [question_prompt(question, "chain") for question in QUESTIONS]
    options = {"max_new_tokens": 6, "sampling": Sampling(0.7, seed=3)}
    assert table["text"].tolist() == generate(llama, prompts, **options)
    options["sampling"] = Sampling(0.7, seed=4)
    assert table["text"].tolist() != generate(llama, prompts, **options)
    _, asked = answered(llama, QUESTIONS, *[("A", False)] * 3, generation=how)
    assert [len(batch) for batch in asked] == [2, 1]
    system = Asking("generate", system="Be brief.")
    told = evaluate(llama, QUESTIONS, {"b": None}, system, generation=how, compute=QUIET)
    options = {"max_new_tokens": 6, "sampling": Sampling(0.7, seed=3), "system": "Be brief."}
    assert told["text"].tolist() == generate(llama, prompts, **options)


def test_length_of_each_style(llama):
    """What may follow has to fit into the context, and is so told: 512 tokens for reasoning."""
    assert Generation("direct").length == 32
    with pytest.raises(RoleLensError, match="and 511 are to follow"):
        evaluate(
            llama, QUESTIONS, {"b": None}, GENERATE, generation=Generation("chain"), compute=QUIET
        )
    table, _ = answered(llama, QUESTIONS, ("B", False), ("x" * 31, False), ("x" * 40, False))
    assert table["truncated"].tolist() == [False, False, True]
    assert table["text"].tolist() == ["B", "x" * 31, "x" * 32]


def test_reasoning_that_the_template_opens_is_no_answer(llama, monkeypatch):
    template = "{{ messages[0].content }} {% if add_generation_prompt %}<think>\n{% endif %}"
    monkeypatch.setattr(llama.tokenizer, "chat_template", template)
    texts = ("so the answer is B", True), ("so A.</think>The answer is B", False), ("B", True)
    table, _ = answered(llama, QUESTIONS, *texts)
    assert table["predicted"].tolist() == [pd.NA, "B", pd.NA]
    assert table["text"].tolist()[0] == "so the answer is B"


def test_patches_are_checked_before_any_text(llama):
    patches = {"none": None, "wrong": Patch.add(torch.ones(7), layer=1)}
    with writing(llama, {}) as asked:
        with pytest.raises(RoleLensError, match="7 dimensions"):
            evaluate(llama, QUESTIONS, patches, GENERATE, compute=QUIET)
        assert not asked


def test_patched_text(llama):
    """A direction along a letter's unembedding makes the model write that letter."""
    (letter,) = llama.tokenizer("B", add_special_tokens=False)["input_ids"]
    weight = llama.original_model.lm_head.weight.detach()[letter]
    patches = {"none": None, "B": Patch.add(weight, layer=2, coefficient=1e4)}
    how = Generation(max_new_tokens=1)
    table = evaluate(llama, QUESTIONS, patches, GENERATE, generation=how, compute=QUIET)
    table = table.set_index(["patch", "question_id"])
    assert table.loc["B"]["text"].tolist() == ["B"] * 3
    assert table.loc["B"]["predicted"].tolist() == ["B"] * 3
    assert table.loc["B"]["truncated"].all()
    assert not llama.hook_dict["blocks.2.hook_resid_pre"].fwd_hooks


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batches_make_no_difference(model, temperature):
    prompts = ["Go.", "Tell me, at some length, what you had today.", "And then?", "Why?"]
    direction = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    options = {"max_new_tokens": 6, "patch": Patch.add(direction, layer=1)}

    def texts(batch_size):
        sampling = Sampling(temperature, seed=5, batch_size=batch_size)
        return complete(model, prompts, sampling=sampling, **options)

    together = texts(None)
    assert texts(1) == together
    assert texts(2) == together


def test_batches_have_no_more_rows_than_said(llama):
    prompts = ["Go.", "Tell me, at some length, what you had today. " * 4, *"abcde"]
    with writing(llama, dict.fromkeys(prompts, ("", False))) as asked:
        generate(llama, prompts, max_new_tokens=2, sampling=Sampling(batch_size=3))
    assert [len(batch) for batch in asked] == [3, 3, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ({"temperature": -1.0}, "temperature must be 0 or"),
    ],
)
def test_refused(llama, options, message):
    def ask():
        how = Generation(**options)
        evaluate(llama, QUESTIONS, {"b": None}, GENERATE, generation=how, compute=QUIET)

    with pytest.raises(RoleLensError, match=message):
        ask()


def test_unknown_scorings_are_refused_at_once():
    with pytest.raises(RoleLensError, match="unknown scoring 'odds': expected one of"):
        Asking("odds")


def test_examples_are_for_likelihoods():
    with pytest.raises(RoleLensError, match="examples are for scoring by likelihood"):
        Asking("generate", examples=tuple(QUESTIONS))


def test_more_choices_than_letters(llama):
    many = Question("m", "Which?", tuple(map(str, range(30))), 3, "s", "d")
    with pytest.raises(RoleLensError, match="30 options, more than there are letters"):
        evaluate(llama, [many], {"b": None}, GENERATE, compute=QUIET)


@pytest.mark.parametrize("scoring", ["letter", "cloze"])
@pytest.mark.parametrize("generation", [Generation(), Generation("chain")])
def test_how_answers_are_written_is_for_generated_ones(llama, scoring, generation):
    message = f"generation is for scoring='generate', got '{scoring}': leave it out"
    with pytest.raises(RoleLensError, match=message):
        evaluate(llama, QUESTIONS, {"b": None}, Asking(scoring), generation=generation)


def test_numbers_are_for_generated_answers(llama):
    question = NumericQuestion("n", "How many?", Fraction(3), "s", "d")
    with pytest.raises(RoleLensError, match="are for scoring='generate', not 'letter'"):
        evaluate(llama, [question], {"b": None}, compute=QUIET)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "How many?", "answer": "a few"}', "expected a number"),
        ('{"question": "How many?"}', "expected a number"),
        ('{"question": 3, "answer": 3}', "expected a non-empty string"),
        ('{"question": " ", "answer": 3}', "expected a non-empty string"),
        ("", "holds no questions"),
        ('{"question": "How many?", "answer": 3, "domain": "e"}', "no questions of domain 'd'"),
    ],
)
def test_bad_numeric_files(tmp_path, line, message):
    file = tmp_path / "n.jsonl"
    file.write_text(line)
    with pytest.raises(RoleLensError, match=message):
        load_numeric_questions(file, domain="d" if "domain" in line else None)
